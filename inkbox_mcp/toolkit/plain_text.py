"""Refuses text that is not what a person sees of it. Nothing is cleaned: that would be another text than the one meant.

The rules return the text, and raise ValueError with a sentence for the model that sent it.
"""

import re
import unicodedata

from inkbox_mcp.text import first_hidden, first_unseen

# Of an encoded word (RFC 2047), also with blanks that some programs leave out. Each is searched in linear time.
_BEGIN, _END = re.compile(r"=\s*\?"), re.compile(r"\?\s*=")
_HEAD = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})


def plain_line(text: str) -> str:
    """Refuse hidden characters, line breaks, and blanks other than a space."""
    return refuse_at(text, first_unseen(text))


def shown_line(text: str) -> str:
    """Refuse line breaks, and hidden characters but those that emoji and scripts need."""
    return refuse_at(text, first_hidden(text))


def without_controls(text: str) -> str:
    """Refuse control characters, line breaks, and halves of characters."""
    return refuse_at(text, next((at for at, char in enumerate(text) if unicodedata.category(char) in _CONTROLS), None))


def without_encoded_words(text: str) -> str:
    """Refuse what mail programs decode, and show in another form than the one that was sent."""
    plain = unicodedata.normalize("NFKC", text)  # full-width characters look like normal ones
    begin = _BEGIN.search(plain)
    if begin and (_END.search(plain, begin.end()) or _HEAD.search(plain)):
        raise ValueError('must not have an encoded word ("=?utf-8?...?="); write the text itself')
    return text


def refuse_at(text: str, position: int | None) -> str:
    """Refuse the character at a position; None if there is nothing to refuse."""
    if position is not None:
        raise ValueError(
            "hidden characters, line breaks and blanks other than a space are not allowed "
            f"(U+{ord(text[position]):04X} at position {position}); write it without them"
        )
    return text
