"""What learners wrote, as one line that can be shown anywhere: in a terminal, on a page, in a table."""

from __future__ import annotations

import unicodedata

SHOWN = 200  # characters
# Controls (escape sequences begin with one), invisible formats (marks that turn the direction of writing among them),
# half characters, private and unassigned ones, and the separators of lines and paragraphs.
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def clean(text: str, longest: int = SHOWN) -> str:
    """The text without what could move a cursor, turn a line round or begin a new one: such characters as their codes.

    In the composed form (NFC), so that equal names are equal; cut to `longest` characters, which is then said by "…".
    """
    composed = unicodedata.normalize("NFC", text[: 4 * longest])
    seen = "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in UNSEEN else c for c in composed)
    return seen if len(seen) <= longest and len(text) <= 4 * longest else seen[: longest - 1] + "…"
