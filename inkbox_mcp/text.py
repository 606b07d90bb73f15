r"""Text that others wrote, made safe to show to a model.

Characters that a person does not see can carry instructions that a model reads: control and bidirectional characters,
tags, variation selectors and others that Unicode calls ignorable. They are taken out. What stays is what writing needs:
tabs and line breaks, which JSON escapes, and single joiners between visible characters of emoji and some scripts.
"""

import re
import unicodedata
from math import isfinite
from typing import TypeVar, cast

T = TypeVar("T")

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_NON_JOINER, _JOINER, _TEXT_STYLE, _EMOJI_STYLE = "\u200c", "\u200d", "\ufe0e", "\ufe0f"
_SELECTORS = {_TEXT_STYLE, _EMOJI_STYLE}
_JOINERS = {_NON_JOINER, _JOINER, _EMOJI_STYLE + _JOINER}


def visible(data: T) -> T:
    """Take hidden characters out of every string of JSON data, keys included."""
    match data:
        case str():
            return cast("T", _HIDDEN.sub(_needed, data))
        case list():
            return cast("T", [visible(item) for item in cast("list[object]", data)])
        case dict():
            items = cast("dict[str, object]", data).items()
            return cast("T", {visible(key): visible(value) for key, value in items})
        case float() if not isfinite(data):
            # A number that is too large for JSON; null would say that there is none.
            return cast("T", str(data).replace("inf", "Infinity"))
        case _:
            return data


def one_line(text: str) -> str:
    """Take everything out of a text that is not printable, line breaks and joiners too."""
    printable = "".join(char if char.isprintable() else " " for char in _HIDDEN.sub("", text))
    return " ".join(printable.split())


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts are one to an API that trims and normalises what it stores."""
    return one == other or (one is not None and other is not None and _stored(one) == _stored(other))


def _stored(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def _needed(hidden: re.Match[str]) -> str:
    before, after = hidden.string[: hidden.start()][-1:], hidden.string[hidden.end() :][:1]
    joins = hidden[0] in _JOINERS and before > "\x7f" and after > "\x7f"
    styles = hidden[0] in _SELECTORS and before > "\x7f"
    return hidden[0] if joins or styles else ""
