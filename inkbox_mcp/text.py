"""Makes text from strangers safe for a model: removes characters that a person would not see, and quotes it.

`inkbox_mcp.characters` decides which characters are hidden.
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
MAX_URL = 2048
"""Characters of a webhook's URL."""

# Each of these ends a quotation, or looks to a reader as if it did.
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys('"\u201c\u201d\u201e\u201f\u2033\u2036\u301d\u301e\u301f\uff02', "'"))


def visible(data: T) -> T:
    """Remove hidden characters that no script needs from all strings of JSON data, names of fields included."""
    match data:
        case str():
            return cast("T", _visible(data))
        case list():
            return cast("T", [visible(item) for item in cast("list[object]", data)])
        case dict():
            return cast("T", _visible_members(cast("dict[str, object]", data)))
        case float() if not isfinite(data):
            # A number that is too large for JSON. Null would mean that there is none.
            return cast("T", str(data).replace("inf", "Infinity"))
        case _:
            return data


def one_line(text: str) -> str:
    """Remove all hidden characters from a text, and replace line breaks and other blanks by spaces."""
    if not _is_plain(text):
        text = IGNORABLE.sub("", text.translate(dict.fromkeys(map(ord, hidden_characters(text)))))
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())


def quoted(text: str, limit: int) -> str:
    """Put a text from strangers between double quotes, as one line without double quotes.

    Args:
        text: such as an address from the API, or an argument.
        limit: the most characters of it to show; a longer text ends in "…".
    """
    line = one_line(text[: 8 * limit]).translate(_DOUBLE_QUOTES)
    return f'"{line if len(line) <= limit and len(text) <= 8 * limit else line[: limit - 1] + "…"}"'


def first_hidden(text: str) -> int | None:
    """Return the position of the first character that `visible` removes, or that is a line break or a tab."""
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
        # If two names become the same, the one without hidden characters is the real field.
        members |= {key: value for key, value in values.items() if key in members}
    return members


def _is_plain(text: str) -> bool:
    """Whether a text has neither hidden characters nor line breaks, like nearly all."""
    return text.isprintable() and (text.isascii() or not IGNORABLE.search(text))


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same for an API that trims and normalizes text."""
    return one == other or (one is not None and other is not None and _stored(one) == _stored(other))


def _stored(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
