"""The numbers as tables, on the terminal and in docs/performance.md.

In the page, what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` is replaced; all else is
written by hand.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def write(path: Path, blocks: Mapping[str, str]) -> None:
    """Replace the named blocks of the page at `path`."""
    text = path.read_text()
    for name, block in blocks.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            message = f"{path}: expected the lines {begin} and {end}, got a page without them"
            raise ValueError(message)
        text = pattern.sub(lambda _, new=f"{begin}\n{block}\n{end}": new, text)  # type: ignore[misc]  # mypy does not infer the default
    path.write_text(text)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the second row is the rule below its head."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def met(reached: bool) -> str:
    """Return what a table of targets says of one."""
    return "met" if reached else "**missed**"


def environment(*packages: str) -> str:
    """Return the date, this machine, and the versions of Python and of `packages`."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB of memory,"
        f" Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    """Return the name of this machine's processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
