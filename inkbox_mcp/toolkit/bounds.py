"""Limits the size of a call's arguments, errors and results.

All calls share one event loop, so large values must be refused before they cost work: before validation, the API, the
client, or an error. Checking here is fast. `inkbox_mcp.protocol.overload` limits whole messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from pydantic_core import to_json

MAX_ARGUMENTS = 64
"""The most arguments of a call. Tools take at most nine, and some clients add their own."""

MAX_STRING = 4096
"""The most bytes of a string in UTF-8, where its type has no `MaxBytes`. The longest is a URL of 2,048 characters."""

MAX_ITEMS = 64
"""The most items of a list whose type has no `max_length`."""

MAX_PROBLEMS = 10
"""The most problems that one error names. A model corrects these, and gets the others in the next answer."""

MAX_PROBLEM = 340
"""The most characters of one problem, so that an error stays below 4 kB."""

MAX_NAME = 64
"""The most characters of an unknown name that are compared with known names; comparing long ones is slow."""

MAX_RESULT = 400_000
"""The most bytes of a result's text: about 100,000 tokens of English, more than most models can use."""


@dataclass(frozen=True, slots=True)
class MaxBytes:
    """The most bytes of a string in UTF-8, where `MAX_STRING` is too few. Put it into the metadata of `Annotated`.

    A whole call still has to fit into a message: 4 MB over HTTP, 16 MB over stdio.
    """

    most: int


def excess(value: object, most: int = MAX_STRING, most_items: int = MAX_ITEMS) -> str | None:
    """Explain why the value of an argument is too large; return None if it is not.

    Objects are not inspected, because no tool takes them.

    Args:
        value: of the argument.
        most: bytes of a string, also of one in a list.
        most_items: of a list.
    """
    match value:
        case str() if _is_long(value, most):
            return f"must be at most {most:,} bytes"
        case list() if len(items := cast("list[object]", value)) > most_items:
            return f"must have at most {most_items} items, not {len(items):,}"
        case list():
            long = (place for place, item in enumerate(cast("list[object]", value)) if _is_long(item, most))
            place = next(long, None)
            return None if place is None else f"item {place} must be at most {most:,} bytes"
        case _:
            return None


def named(problems: list[str], more: int = 0) -> str:
    """Return problems as one text: at most `MAX_PROBLEMS`, and the number of others.

    Args:
        problems: one clause each.
        more: the number of further problems.
    """
    shown = [cut(problem, MAX_PROBLEM) for problem in problems[:MAX_PROBLEMS]]
    more += len(problems) - len(shown)
    return "; ".join([*shown, f"and {more:,} more"] if more else shown)


def declared(data: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared fields of a result that is too large, cut to `MAX_STRING` bytes each, and small others.

    Args:
        data: the result, as plain data.
        fields: the names that its model declares.
    """
    others = ((name, value) for name, value in data.items() if name not in fields and _is_small(name, value))
    small = dict(islice(others, MAX_ITEMS))  # such as a signing key, which is shown only once
    return {name: _shortened(value) for name, value in data.items() if name in fields} | small


def cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters; a cut one ends with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_long(value: object, most: int) -> bool:
    if not isinstance(value, str) or len(value) <= most // 4:
        return False
    return len(value) > most or len(value.encode("utf-8", "surrogatepass")) > most


def _is_small(name: str, value: object) -> bool:
    if isinstance(value, str):
        return len(name) <= MAX_NAME and len(value) <= MAX_STRING // 16
    return len(name) <= MAX_NAME and (value is None or isinstance(value, bool | int | float))


def _shortened(value: object) -> object:
    match value:
        case str() if _is_long(value, MAX_STRING):
            return value.encode("utf-8", "replace")[:MAX_STRING].decode("utf-8", "ignore") + "…"
        case list():
            kept: list[object] = []
            room = MAX_STRING
            for item in cast("list[object]", value):
                room -= len(to_json(item))
                if room < 0:
                    break
                kept.append(item)
            return kept
        case _:
            return value
