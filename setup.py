"""Beam stages the package on remote workers through this file; the metadata is in pyproject.toml, but for one thing.

The README becomes the page of the package, where a relative link leads nowhere. If SLUICE_REPOSITORY names the
repository, such as https://github.com/OWNER/sluice, the links lead to its files as they were when the version was
tagged; otherwise the page has their texts alone.
"""

import os
import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]+)\]\((?![a-z]+:|#)([^)]+)\)")


def package_page(readme: str, repository: str, version: str) -> str:
    """Return the README without relative links; those in it lead to files of the repository."""

    def replace(link: re.Match[str]) -> str:
        image, text, path = link.groups()
        if repository:
            return f"{image}[{text}]({repository}/{'raw' if image else 'blob'}/v{version}/{path})"
        return "" if image else text

    return LINK.sub(replace, readme)


def version() -> str:
    """Return the version, without an import of the package."""
    text = (HERE / "pipeline/sluice/version.py").read_text("utf-8")
    return text.split('VERSION = "')[1].split('"')[0]


setup(
    long_description=package_page(
        (HERE / "README.md").read_text("utf-8"),
        os.environ.get("SLUICE_REPOSITORY", "").rstrip("/"),
        version(),
    ),
    long_description_content_type="text/markdown",
)
