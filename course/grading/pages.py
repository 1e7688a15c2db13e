"""Pages that stand alone: one file each, no script or picture from elsewhere, and nobody's text is ever markup.

The templates escape whatever is put in. A policy in each page lets the browser run the page's own script and style,
known by their hashes, and load nothing else: should a text get through the escaping, it would still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def number(value: float) -> str:
    """Points as people write them: 12, 10.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@cache
def _part(name: str) -> Markup:
    """A style or script of ours, to stand in a page as it is; "" is none."""
    return Markup("") if not name else Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["number"] = number
    return templates


def render(template: str, style: str = "", script: str = "", **values: Any) -> str:
    """A page from one of our templates. style, script: files that stand in it, beside the style of all pages."""
    style_text, script_text = _part("page.css") + _part(style), _part(script)
    policy = f"default-src 'none'; style-src {_hash(style_text)}; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {_hash(script_text)}"
    page = _templates().get_template(template)
    return page.render(policy=Markup(policy), style=style_text, script=script_text, **values)
