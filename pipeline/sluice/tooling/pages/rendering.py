"""How pages are made of templates: what all pages share, so that none shows data as anything but text."""

from __future__ import annotations

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sluice.storage.base import printable


def page_templates(package: str) -> Environment:
    """Return the templates in the folder `templates` of a package.

    What they show is escaped, a name that they are not given is an error, and `number` shows 1234 as 1,234.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda number: f"{number:,}"
    return environment


def page_asset(templates: Environment, *names: str) -> Markup:
    """Return styles or scripts of ours, one after the other, to stand in a page as they are."""
    # Nothing of them is data.
    return Markup("\n".join(templates.get_template(name).render() for name in names))  # noqa: S704  see above


def csp_source(asset: str) -> str:
    """Return what a Content-Security-Policy calls a style or a script that stands in the page: `sha256-…`."""
    return f"sha256-{base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()}"


def cut_text(text: str, longest: int) -> str:
    """Return the first characters of a text from data, those that nobody sees escaped, with … if it is longer."""
    shown = printable(text[:longest])
    return shown if len(text) <= longest else f"{shown}…"
