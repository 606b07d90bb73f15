"""Rows of lists: what an agent needs to know of each object, in few bytes."""

import re
from collections.abc import Mapping
from typing import Any

MOST_WHOLE = 50
"""The most whole objects of a page."""

_FRACTION = re.compile(r"(\d\d:\d\d:\d\d)\.\d+")


def row(item: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of an object that the API sent, with times to the second.

    Args:
        item: the object.
        fields: their names, in the order of the row. Those that the API did not send are left out.
    """
    return {name: to_the_second(item[name]) if name == "created_at" else item[name] for name in fields if name in item}


def to_the_second(time: object) -> object:
    """Return a time without fractions of a second; other values unchanged."""
    return _FRACTION.sub(r"\1", time).replace("+00:00", "Z") if isinstance(time, str) else time
