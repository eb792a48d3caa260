"""Environment variables in YAML that people wrote: `${NAME}` stands for the value of NAME."""

from __future__ import annotations

import os
import re
from typing import Any

from sluice.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expand_variables(value: Any, where: str, *, needed: bool = True) -> Any:
    """Return a text with the values of its environment variables; what is no text is returned as it is.

    Raises:
        ConfigError: a variable is not set, and is `needed`; otherwise its name stands in for its value.

    """
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if needed and match[1] not in os.environ:
            message = f"{where}: expected the environment variable {match[1]}, got nothing; set it"
            raise ConfigError(message)
        return os.environ.get(match[1], match[1])

    return _VARIABLE.sub(variable, value)


def unset_variables(value: Any) -> list[str]:
    """Return the names of the environment variables in a text that are not set, in order."""
    names = _VARIABLE.findall(value) if isinstance(value, str) else []
    return [name for name in names if name not in os.environ]


def is_variable(value: Any) -> bool:
    """Tell whether a value is one variable and nothing else, as it must be where a secret is needed."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None
