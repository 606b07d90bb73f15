"""Makes text from strangers safe for a model: removes characters that a person would not see, and quotes it.

`inkbox_mcp.characters` decides which characters are hidden.
"""

import json
import unicodedata
from itertools import islice
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
MAX_DETAIL = 500
"""Characters that an error quotes of the API's own words."""

# The most that is read of these words: items of a list or an object, levels of nesting, bits of a number.
_MAX_ITEMS, _MAX_DEPTH, _LONG_BITS = 10, 4, 64
_TELLING = ("loc", "msg", "message", "code", "error")
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


def quote_detail(detail: object) -> str:
    """Quote the API's own reason: one line, printable, at most `MAX_DETAIL` characters.

    The reason may repeat text of strangers, so the model never gets it raw.
    """
    text = one_line(_detail_text(_shortened(detail))[: 8 * MAX_DETAIL]).removesuffix(".")
    return f"{quoted(text, MAX_DETAIL)}." if text else ""


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


def _shortened(detail: object, depth: int = 0) -> object:
    """Cut long, deep or large parts of the API's reason, so that its size does not matter for the work on it."""
    match detail:
        case None | bool() | float():
            return detail
        case str():
            return detail[:MAX_DETAIL] if depth else detail[: 8 * MAX_DETAIL]
        case int() if detail.bit_length() <= _LONG_BITS:
            return detail
        case list() if depth < _MAX_DEPTH:
            items = cast("list[object]", detail)
            more = [f"{len(items) - _MAX_ITEMS} more"] if len(items) > _MAX_ITEMS else []
            return [*(_shortened(item, depth + 1) for item in items[:_MAX_ITEMS]), *more]
        case dict() if depth < _MAX_DEPTH:
            members = cast("dict[str, object]", detail)
            names = [*(name for name in _TELLING if name in members), *islice(members, _MAX_ITEMS)]
            return {name[:MAX_DETAIL]: _shortened(members[name], depth + 1) for name in names}
        case _:
            return "…"


def _detail_text(detail: object) -> str:
    match detail:
        case None:
            return ""
        case str():
            return detail
        case list():
            return "; ".join(_detail_text(item) for item in cast("list[object]", detail))
        case {"loc": list(), "msg": str() as message}:
            # FastAPI's field error. Its `input` repeats the sent value, and is left out.
            loc = cast("dict[str, list[object]]", detail)["loc"]
            names = [str(part) for part in loc if part not in ("body", "query", "path")]
            return f"{'.'.join(names)}: {message}" if names else message
        case {"message": str() as message}:
            return message
        case {"code": str() as code} | {"error": str() as code}:
            return code
        case _:
            return json.dumps(detail, ensure_ascii=False)


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same for an API that trims and normalizes text."""
    return one == other or (one is not None and other is not None and _stored(one) == _stored(other))


def _stored(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
