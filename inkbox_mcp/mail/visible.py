"""Makes the text of a mail what a person sees of it, and counts what was removed.

`inkbox_mcp.characters` decides which characters are hidden, and which joiners, styles and direction marks a script or
an emoji needs where they stand: those stay.
"""

import re
import unicodedata
from typing import NamedTuple

from inkbox_mcp.text import visible

MAX_MARKS = 8
"""Combining marks on one letter that stay; no script has more."""
_BREAKS = re.compile("\r\n?|[\n\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


class VisibleText(NamedTuple):
    """A text without hidden characters, in the normal form NFC, and how many characters were removed."""

    text: str
    removed: int


def visible_text(text: str) -> VisibleText:
    """Remove hidden characters that no script needs; of lines, every kind of break becomes a line feed.

    Blanks of other widths become spaces. Applying it again changes nothing and removes nothing.

    Args:
        text: anything, also with lone surrogates.
    """
    if text.isascii() and text.isprintable():
        return VisibleText(text, 0)
    lines = _BLANKS.sub(" ", _BREAKS.sub("\n", text))
    size = len(lines)
    seen = visible(lines)
    if seen.isascii():
        return VisibleText(seen, size - len(seen))
    few = _few_marks(seen)
    removed = size - len(few)
    # Fewer letters allow fewer marks, so what is composed is looked through again.
    while (composed := unicodedata.normalize("NFC", few)) != few:
        few = _few_marks(visible(composed))
        removed += len(composed) - len(few)
    return VisibleText(few, removed)


def _few_marks(text: str) -> str:
    """Remove marks beyond the eighth on a letter: they hide the lines around it, and normalizing them is slow."""
    kept: list[str] = []
    marks = 0
    for char in text:
        kind = unicodedata.category(char) if char > "\u02ff" else ""
        if kind != "Cf":
            marks = marks + 1 if kind.startswith("M") else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return text if len(kept) == len(text) else "".join(kept)
