"""Limits the number of values in a message, besides a tool's arguments.

They are counted before the SDK validates the message, which can take a thousand times as long.
"""

import json
from typing import Any, cast

from pydantic_core import from_json

MAX_VALUES = 1000
"""The most values besides a tool's arguments. Clients send some dozens; the SDK tries each in several ways."""

SMALL_MESSAGE = 16_384
"""Smaller messages, in bytes, cannot have too many values."""


def is_overloaded(message: bytes | bytearray) -> bool:
    """Whether a JSON-RPC message has more than `MAX_VALUES` values. The tool checks its arguments itself.

    Args:
        message: as received. Invalid JSON is not overloaded: its reader refuses it.
    """
    if len(message) <= SMALL_MESSAGE:
        return False
    try:
        read: Any = from_json(message)
    except ValueError:
        try:
            read = json.loads(message)  # accepts surrogates and more depth, like the SDK
        except (ValueError, RecursionError):
            return False
    match read:
        case {"method": "tools/call", "params": {"arguments": dict(), **params}}:
            read = {**read, "params": params}
        case _:
            pass
    left, values = MAX_VALUES, [read]
    while values and left >= 0:
        value = values.pop()
        if isinstance(value, dict | list):
            inner = cast("dict[str, object] | list[object]", value)
            left -= len(inner)
            values += inner.values() if isinstance(inner, dict) else inner
    return left < 0
