"""Text that others wrote, made safe to show to a model: seen by a person too, or taken out.

Which characters are hidden, and which of those writing needs, is in `inkbox_mcp.characters`.
"""

import unicodedata
from math import isfinite
from typing import TypeVar, cast

from inkbox_mcp.characters import IGNORABLE, LAYOUT, hidden_characters, unneeded_marks

T = TypeVar("T")

MAX_ADDRESS = 320
"""Characters of an address: 64 before the @ and 255 after it (RFC 3696, errata)."""
MAX_HANDLE = 255
"""Characters of a handle."""

# Any of these could end a quotation, or look to a reader as if it did.
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys('"\u201c\u201d\u201e\u201f\u2033\u2036\u301d\u301e\u301f\uff02', "'"))


def visible(data: T) -> T:
    """Take the hidden characters that writing does not need out of every string of JSON data, keys included."""
    match data:
        case str():
            return cast("T", _visible(data))
        case list():
            return cast("T", [visible(item) for item in cast("list[object]", data)])
        case dict():
            return cast("T", _visible_members(cast("dict[str, object]", data)))
        case float() if not isfinite(data):
            # A number that is too large for JSON; null would say that there is none.
            return cast("T", str(data).replace("inf", "Infinity"))
        case _:
            return data


def one_line(text: str) -> str:
    """Take everything hidden out of a text, joiners and styles too, and make line breaks and other blanks spaces."""
    if not _is_plain(text):
        text = IGNORABLE.sub("", text.translate(dict.fromkeys(map(ord, hidden_characters(text)))))
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())


def quoted(text: str, limit: int) -> str:
    """Put a text that others wrote between double quotes, as one line that cannot end them.

    Args:
        text: such as an address that the API sent, or an argument.
        limit: characters that are shown of it; a longer one ends in "…".
    """
    line = one_line(text[: 8 * limit]).translate(_DOUBLE_QUOTES)
    return f'"{line if len(line) <= limit and len(text) <= 8 * limit else line[: limit - 1] + "…"}"'


def first_hidden(text: str) -> int | None:
    """Return the position of the first character that `visible` would take out, or that is a line break or a tab."""
    if _is_plain(text):
        return None
    hidden = hidden_characters(text) | LAYOUT
    found = next((position for position, char in enumerate(text) if char in hidden), None)
    return min((position for position in (found, *unneeded_marks(text)) if position is not None), default=None)


def first_unseen(text: str) -> int | None:
    """Return the position of the first hidden character, or blank other than a space."""
    if _is_plain(text):
        return None
    return next(position for position, char in enumerate(text) if not _is_plain(char))


def _visible(text: str) -> str:
    if _is_plain(text):
        return text
    if hidden := hidden_characters(text):
        text = text.translate(dict.fromkeys(map(ord, hidden)))
    parts: list[str] = []
    end = 0
    for start, marks in unneeded_marks(text).items():
        parts.append(text[end:start])
        end = start + len(marks)
    return "".join([*parts, text[end:]])


def _visible_members(data: dict[str, object]) -> dict[str, object]:
    values = {key: visible(value) for key, value in data.items()}
    members = {visible(key): value for key, value in values.items()}
    if len(members) < len(values):
        # Two names look the same: the one that hides nothing is the field that programs know.
        members |= {key: value for key, value in values.items() if key in members}
    return members


def _is_plain(text: str) -> bool:
    """Whether a text holds neither hidden characters nor line breaks, as nearly all do."""
    return text.isprintable() and (text.isascii() or not IGNORABLE.search(text))


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts are one to an API that trims and normalises what it stores."""
    return one == other or (one is not None and other is not None and _stored(one) == _stored(other))


def _stored(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
