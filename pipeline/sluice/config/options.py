"""Declared options: the fields of a frozen dataclass carry help, default, example and parser.

What a job file and the URL of a connector can say is declared once, as such fields. Parsing, error messages,
`--help`, listings and the option tables of the documentation follow from the declaration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any

from sluice.addresses import mask_text
from sluice.errors import ConfigError, alternatives, quote

Parser = Callable[[Any, str], Any]
"""(value as given, where it was given) -> value. Raises ConfigError; its message begins with the second argument."""


def text(value: Any, where: str) -> str:
    """Return `value`, which must be a text that is not empty."""
    if not isinstance(value, str) or not value:
        message = f"{where}: expected text, got {quote(value)}"
        raise ConfigError(message)
    if "\0" in value:
        message = f"{where}: expected text without NUL characters, got {quote(value)}"
        raise ConfigError(message)
    return value


def local_path(value: Any, where: str) -> str:
    """Return `value`, which must be the path of a local file or folder, and no address."""
    given = text(value, where)
    if "://" in given:
        message = f"{where}: expected a path, got {quote(given)}"
        raise ConfigError(message)
    return given


def check_keys(given: Iterable[str], known: Sequence[str], where: str) -> None:
    """Raise ConfigError if a key is none of those that are known; the message begins with `where`."""
    for key in given:
        if key not in known:
            message = f"{where}: {mask_text(key)}: unknown key; {alternatives(key, known)}"
            raise ConfigError(message)


class OneOf:
    """Parser of an option that has one of a few values."""

    def __init__(self, *choices: str) -> None:
        """Keep the values in the order in which messages list them."""
        self.choices = choices

    def __call__(self, value: Any, where: str) -> str:
        """Return `value`."""
        if value not in self.choices:
            message = f"{where}: expected one of {', '.join(self.choices)}, got {quote(value)}"
            raise ConfigError(message)
        return str(value)


def option(
    help: str,  # noqa: A002  the name that argparse and click use
    *,
    default: Any = MISSING,
    example: str = "",
    parse: Parser = text,
    secret: bool = False,
    part: bool = False,
    many: bool = False,
    family: str = "",
) -> Any:
    """Declare one option as a field of a dataclass.

    Args:
        help: what it means, as a fragment of a sentence.
        default: a text as a user writes it, or the value itself, which documentation does not mention. Without a
            default the option is required.
        example: a value as a user writes it.
        parse: turns the value as given into the field's value.
        secret: its value is never printed.
        part: it stands in the URL before `?` and `#`, where the connector's `place` names it.
        many: it may be given several times; its value is the tuple of all values.
        family: the option is written NAME.MEMBER=VALUE, several times; `family` is how documentation writes MEMBER.
            `parse` gets the text MEMBER=VALUE, and the value is the tuple of what it returns.

    """
    metadata = {
        "help": help,
        "example": example,
        "default_text": default if isinstance(default, str) else "",
        "parse": parse,
        "secret": secret,
        "part": part,
        "many": many,
        "family": family,
    }
    if isinstance(default, str) and default:
        default = parse(default, "default")
    default = () if many or family else default
    return dataclasses.field(default=default, repr=not (secret or part), metadata=metadata)


@dataclass(frozen=True, slots=True)
class OptionDescription:
    """What documentation says of one option."""

    name: str
    """As users write it, such as `group` or `label.NAME`."""
    help: str
    default: str
    """'' if there is none worth writing."""
    example: str
    required: bool
    secret: bool
    choices: tuple[str, ...]
    """The values that it can have; () if they cannot be listed."""

    @property
    def meaning(self) -> str:
        """The help, the choices, and whether it is secret."""
        choices = f": {', '.join(self.choices)}" if self.choices else ""
        return f"{self.help}{choices}{' (secret)' if self.secret else ''}"

    @property
    def default_or_required(self) -> str:
        """The default, or that a value is required."""
        return "required" if self.required else self.default


def declared(of: type) -> list[dataclasses.Field[Any]]:
    """Return the declared options among the fields of a dataclass, in order."""
    return [field for field in dataclasses.fields(of) if "parse" in field.metadata]


def describe_option(declaration: dataclasses.Field[Any]) -> OptionDescription:
    """Return what documentation says of a declared option."""
    metadata = declaration.metadata
    parse = metadata["parse"]
    return OptionDescription(
        name=written_name(declaration),
        help=metadata["help"],
        default=metadata["default_text"],
        example=metadata["example"],
        required=declaration.default is MISSING,
        secret=metadata["secret"],
        choices=parse.choices if isinstance(parse, OneOf) else (),
    )


def written_name(declaration: dataclasses.Field[Any]) -> str:
    """Return the name of an option as users write it."""
    family = declaration.metadata["family"]
    return f"{declaration.name}.{family}" if family else declaration.name


def parse_pairs(
    declarations: Iterable[dataclasses.Field[Any]],
    pairs: Iterable[tuple[str, str]],
    where: str,
    expected: str,
) -> dict[str, Any]:
    """Return field name -> value of options that were given as names and values.

    Raises:
        ConfigError: an option is unknown, has no value, has a bad value or is given twice. The message begins with
            `where`; `expected` says in general what can be given. The value of an unknown option is not repeated:
            it may be a secret.

    """
    known = {declaration.name: declaration for declaration in declarations}
    values: dict[str, Any] = {}
    for name, value in pairs:
        stem, dot, member = name.partition(".")
        declaration = known.get(stem)
        if declaration is None or bool(dot and member) != bool(declaration.metadata["family"]):
            message = f"{where}: expected {expected}, got {quote(name)}"
            raise ConfigError(message)
        at = f"{where}: {name}"
        if not value:
            message = f"{at}: expected a value, got nothing"
            raise ConfigError(message)
        parsed = _parse(declaration, f"{member}={value}" if member else value, at)
        if declaration.metadata["many"] or member:
            values[stem] = (*values.get(stem, ()), parsed)
        elif stem in values:
            message = f"{at}: expected this option once, got it twice"
            raise ConfigError(message)
        else:
            values[stem] = parsed
    return values


def missing_options(declarations: Iterable[dataclasses.Field[Any]], given: Mapping[str, Any]) -> list[str]:
    """Return the names of required options that were not given."""
    return [
        declaration.name
        for declaration in declarations
        if declaration.default is MISSING and declaration.name not in given
    ]


def _parse(declaration: dataclasses.Field[Any], value: str, where: str) -> Any:
    if not declaration.metadata["secret"]:
        return declaration.metadata["parse"](value, where)
    try:
        return declaration.metadata["parse"](value, where)
    except ConfigError:
        message = f"{where}: expected another value; it is secret and not repeated here"
        raise ConfigError(message) from None
