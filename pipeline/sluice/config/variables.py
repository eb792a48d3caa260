"""Environment variables in YAML that people wrote: `${NAME}` stands for the value of NAME.

`${NAME:-DEFAULT}` stands for DEFAULT if NAME is not set or empty, as in a shell and in Compose files.
"""

from __future__ import annotations

import os
import re
from typing import Any

from sluice.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def expand_variables(value: Any, where: str, *, needed: bool = True) -> Any:
    """Return a text with the values of its environment variables; what is no text is returned as it is.

    Raises:
        ConfigError: a variable is not set, and is `needed`; otherwise its name stands in for its value.

    """
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[2] is not None:
            return os.environ.get(match[1]) or match[2]
        if needed and match[1] not in os.environ:
            message = f"{where}: expected the environment variable {match[1]}, got nothing; set it"
            raise ConfigError(message)
        return os.environ.get(match[1], match[1])

    return _VARIABLE.sub(variable, value)


def unset_variables(value: Any) -> list[str]:
    """Return the names of the environment variables in a text that are not set and have no default, in order."""
    variables = _VARIABLE.finditer(value) if isinstance(value, str) else []
    return [match[1] for match in variables if match[2] is None and match[1] not in os.environ]


def is_variable(value: Any) -> bool:
    """Tell whether a value is one variable and nothing else, as it must be where a secret is needed: no default."""
    match = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match[2] is None
