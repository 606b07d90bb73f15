"""How much a message may hold beside a tool's arguments.

It is counted before the SDK validates the message, which can take a thousand times as long.
"""

import json
from typing import Any, cast

from pydantic_core import from_json

MAX_VALUES = 1000
"""Values of a message beside a tool's arguments: clients send some dozens, and the SDK tries each in several ways."""

SMALL_MESSAGE = 16_384
"""Bytes of a message that cannot hold enough values to matter."""


def is_overloaded(message: bytes | bytearray) -> bool:
    """Whether a JSON-RPC message has more than `MAX_VALUES` values; a tool's arguments are checked by the tool.

    Args:
        message: as it came; what is no JSON is for its reader to refuse.
    """
    if len(message) <= SMALL_MESSAGE:
        return False
    try:
        read: Any = from_json(message)
    except ValueError:
        try:
            read = json.loads(message)  # which takes what the other does not: surrogates, and more depth
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
