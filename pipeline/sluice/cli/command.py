"""What a command of `sluice` is made of, and how it prints its messages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sluice.addresses import mask_given
from sluice.cli.output import print_line, printable

Options = argparse.Namespace

DEBUG_HELP = "if the command fails, show the traceback before the line that says why"


def no_options(_: argparse.ArgumentParser) -> None:
    """Add no option to a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: what `--help` shows of it, its options, and the function that runs it."""

    name: str
    summary: str
    """One sentence without its full stop, beginning in lower case, for the list of commands."""
    example: str
    """A whole command line."""
    run: Callable[[Options, list[str]], int]
    """Takes the parsed options and those that are for Beam; returns the exit code."""
    add_options: Callable[[argparse.ArgumentParser], None] = no_options
    takes_beam_options: bool = False

    def add_to(self, commands: argparse._SubParsersAction[ArgumentParser]) -> None:
        """Add this command to the parser of `sluice`."""
        more = "\nOther options go to Beam, such as --runner=PrismRunner." if self.takes_beam_options else ""
        parser = commands.add_parser(
            self.name,
            help=self.summary,
            description=f"{self.summary[0].upper()}{self.summary[1:]}.",
            epilog=f"Example: {self.example}{more}",
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(command=self)
        parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=DEBUG_HELP)
        self.add_options(parser)


class ArgumentParser(argparse.ArgumentParser):
    """Quotes what is wrong with a command line as text, without the secrets of addresses in it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keep the words of the command line for messages about them."""
        self._words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with code 2."""
        super().error(printable(mask_given(message, self._words)))


class HelpFormatter(argparse.HelpFormatter):
    """Keeps an example on one line, so that it can be copied, and a command on the line of its summary."""

    def add_argument(self, action: argparse.Action) -> None:
        """Widen the column of names for commands: argparse forgets that they are indented."""
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            width = self._current_indent + len(self._format_action_invocation(command))
            self._action_max_length = max(self._action_max_length, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("Example: ") else super()._fill_text(text, width, indent)


def positive(text: str) -> int:
    """Return the number of an option, which must be at least 1, as argparse wants it: ValueError if it is not."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def print_problems(problems: Sequence[str], otherwise: str) -> int:
    """Print each problem on a line, or `otherwise` if there is none; return the exit code, 1 or 0."""
    for problem in problems or [otherwise]:
        print_line(problem)
    return 1 if problems else 0
