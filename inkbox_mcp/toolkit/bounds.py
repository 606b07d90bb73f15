"""How much one call may bring, and how much it may say: checked before the work that larger ones would cost.

A call runs on the event loop that all callers share. What is counted here is counted in the time that it takes to look
at it, and nothing larger goes any further: not to validation, to the API, to the client, or into an error. How much
a whole message may hold is in `inkbox_mcp.protocol.overload`.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, cast

from pydantic_core import to_json

MAX_ARGUMENTS = 64
"""Arguments of one call; the tool with the most takes four, and some clients add their own."""

MAX_STRING = 4096
"""Bytes of a string of one line in UTF-8; the longest that means anything is a URL of 2,048 characters."""

MAX_ITEMS = 64
"""Items of a list; the longest that means anything has one item for each type of event."""

MAX_PROBLEMS = 10
"""Problems that one error names: a model corrects what it can see at once, and reads the others in the next answer."""

MAX_PROBLEM = 340
"""Characters of one problem, so that a whole error stays below 4 kB."""

MAX_NAME = 64
"""Characters of an unknown name that are looked at: finding similar ones takes longer the longer it is."""

MAX_RESULT = 400_000
"""Bytes of a result's text: about 100,000 tokens of English, more than most models can use at once."""


def excess(value: object) -> str | None:
    """Say how the value of an argument is too large; None for one that is not, or that a tool never takes.

    Nothing is looked for inside objects, which no tool takes.
    """
    match value:
        case str() if _is_long(value):
            return f"must be at most {MAX_STRING:,} bytes"
        case list() if len(items := cast("list[object]", value)) > MAX_ITEMS:
            return f"must have at most {MAX_ITEMS} items, not {len(items):,}"
        case list():
            long = (place for place, item in enumerate(cast("list[object]", value)) if _is_long(item))
            place = next(long, None)
            return None if place is None else f"item {place} must be at most {MAX_STRING:,} bytes"
        case _:
            return None


def named(problems: list[str], more: int = 0) -> str:
    """Write problems as one text, at most `MAX_PROBLEMS` of them, and count the others.

    Args:
        problems: what is wrong, one clause each.
        more: how many there are besides.
    """
    shown = [_cut(problem, MAX_PROBLEM) for problem in problems[:MAX_PROBLEMS]]
    more += len(problems) - len(shown)
    return "; ".join([*shown, f"and {more:,} more"] if more else shown)


def declared(data: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the declared fields of a result that is too large, cut to `MAX_STRING` bytes each, and the smallest others.

    Args:
        data: the result, as plain data.
        fields: the names that its model declares.
    """
    others = ((name, value) for name, value in data.items() if name not in fields and _is_small(name, value))
    small = dict(islice(others, MAX_ITEMS))  # such as a signing key, which is shown only once
    return {name: _shortened(value) for name, value in data.items() if name in fields} | small


def _is_long(value: object) -> bool:
    if not isinstance(value, str) or len(value) <= MAX_STRING // 4:
        return False
    return len(value) > MAX_STRING or len(value.encode("utf-8", "surrogatepass")) > MAX_STRING


def _is_small(name: str, value: object) -> bool:
    if isinstance(value, str):
        return len(name) <= MAX_NAME and len(value) <= MAX_STRING // 16
    return len(name) <= MAX_NAME and (value is None or isinstance(value, bool | int | float))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _shortened(value: object) -> object:
    match value:
        case str() if _is_long(value):
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
