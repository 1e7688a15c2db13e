"""Sphinx's settings for the web edition. `tools/website.py` puts the pages beside a copy of this file, and builds.

Nothing that a page needs lies on another host: formulas are MathML, which browsers draw themselves, and of a control
the picture stays that was committed with it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from docutils import nodes

from course import __version__
from course.show.export import MathRenderer

project = "ChatGPT from scratch"
author = "The course's authors"
copyright = author
release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
language = "en"
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}  # else every page with knobs would ask another host for them
nb_merge_streams = True

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
html_math_renderer = "mathml"


def as_rst(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings are plain text: keep the lines that describe arguments, and show what is indented as it stands."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).rstrip())
    found: list[str] = []
    for paragraph in filter(None, paragraphs):
        rows = paragraph.splitlines()
        if all(row.startswith("    ") for row in rows):
            found += ["::", "", *("    " + row for row in rows), ""]
        elif rows[0].startswith("- "):
            found += [row[: len(row) - len(row.lstrip())] + escaped(row.lstrip()) for row in rows] + [""]
        elif len(rows) > 1:
            found += ["| " + escaped(row) for row in joined(rows)] + [""]
        else:
            found += [escaped(row.strip()) for row in rows] + [""]
    lines[:] = found


def joined(rows: list[str]) -> list[str]:
    """A paragraph's lines, those put together that were broken for their length alone."""
    found = [rows[0].strip()]
    for before, row in pairwise(rows):
        if len(before) > 95 and not re.match(r"[\w, \[\]*]+: |Returns |Raises ", row):
            found[-1] += " " + row.strip()
        else:
            found.append(row.strip())
    return [row.replace("   ", "\u2003") for row in found]


def escaped(text: str) -> str:
    """Plain text in reStructuredText; what stands between backticks stays."""
    parts = re.split(r"(`[^`]+`)", text)
    plain = [re.sub(r"([\\*_|])", r"\\\1", part).replace("`", r"\`") for part in parts[::2]]
    code = [f" `{part[1:-1]}` " if part else "" for part in parts[1::2]]
    whole = "".join(a + b for a, b in zip(plain, [*code, ""], strict=True))
    return re.sub(r" (`[^`]+`) ", lambda found: r"\ " + found[1] + r"\ ", whole).removeprefix(r"\ ")


def inline(writer: Any, node: nodes.Node) -> None:
    """A formula within a line."""
    writer.body.append(MathRenderer().inline_math(node.astext()))
    raise nodes.SkipNode


def display(writer: Any, node: nodes.Node) -> None:
    """A formula on a line of its own."""
    tex = node.astext().strip()
    whole = re.fullmatch(r"\\begin\{(\w+\*?)\}(.*)\\end\{\1\}", tex, re.DOTALL)
    renderer = MathRenderer()
    html = renderer.latex_environment(whole[1], whole[2]) if whole else renderer.block_math(tex)
    writer.body.append(f'<div class="math">{html}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_rst)
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(display, None))
