"""Hook of MkDocs: the navigation of the site is the map of docs/README.md, so that a page is listed in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_HEADING = re.compile(r"## (.+)")
_ROW = re.compile(r"\| ([^|]+) \| (\[.+) \|")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+\.md)\)")
_OTHERS: list[dict[str, Any]] = [
    {
        "Project": [
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "benchmarks/README.md",
            "terraform/README.md",
        ]
    }
]


def on_config(config: Any) -> None:
    """Set the navigation, before MkDocs looks at its pages."""
    config.nav = [
        {"Sluice": "README.md"},
        {"Documentation": "docs/README.md"},
        *navigation((Path(config.docs_dir) / "docs/README.md").read_text("utf-8")),
        *_OTHERS,
    ]


def navigation(text: str) -> list[dict[str, list[Any]]]:
    """Return the sections of a map in Markdown, each with its pages, as MkDocs expects them.

    A row of a table is a section of its own within its section; its first cell is the title.
    """
    sections: list[dict[str, list[Any]]] = []
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            sections.append({heading[1]: []})
        elif sections:
            [pages] = sections[-1].values()
            if row := _ROW.fullmatch(line):
                pages.append({row[1].capitalize(): _pages(row[2])})
            else:
                pages += _pages(line)
    return sections


def _pages(text: str) -> list[dict[str, str]]:
    return [{title[:1].upper() + title[1:]: f"docs/{page}"} for title, page in _LINK.findall(text)]
