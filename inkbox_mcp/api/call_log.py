"""What an embedded sandbox keeps of a tool call, for its developer to look at: short, and without the API key."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from inkbox_mcp.api.redaction import Redaction

MAX_ARGUMENTS = 4096
"""Bytes of the arguments as JSON."""
MAX_TEXT = 1000
"""Characters of an error's text."""

_LENGTHS = (1000, 250, 60)
"""Characters of an argument; the next number if all of them together are still too long."""
_MOST = 20
"""Arguments; tools take at most nine."""
_MAX_NAME = 64
_MAX_KEY = 512
"""Characters of an API key: of one that stands where a text is cut, no piece must be left."""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call of a tool that has ended.

    Attributes:
        tool: its name.
        arguments: as the model wrote them.
        outcome: `ok`, or the code of the error.
        text: what the model was told of the error.
        seconds: that it took.
        client: what it calls itself; None if that is not known.
        redaction: hides the keys that are known to the call; None if there are none.
        moment: when it ended, in microseconds since the epoch.
    """

    tool: str
    arguments: Mapping[str, Any] | None
    outcome: str
    text: str | None
    seconds: float
    client: str | None
    redaction: Redaction | None = None
    moment: int = field(default_factory=lambda: time.time_ns() // 1000)

    def row(self) -> dict[str, Any]:
        """Return the columns of the call in the sandbox's database."""
        hidden = self.redaction or Redaction(None)
        return {
            "tool": _cut(self.tool, _MAX_NAME, hidden),
            "arguments": None if self.arguments is None else _arguments(self.arguments, hidden),
            "outcome": self.outcome,
            "error_text": None if self.text is None else _cut(self.text, MAX_TEXT, hidden),
            "duration_ms": round(self.seconds * 1000, 1),
            "client": None if self.client is None else _cut(self.client, _MAX_NAME, hidden),
            "created_at": self.moment,
        }


def _arguments(arguments: Mapping[str, Any], redaction: Redaction) -> str:
    """Write arguments as JSON, each as long as all of them fit."""
    for length in _LENGTHS:
        text = json.dumps(dict(_entries(arguments, length, redaction)), ensure_ascii=False)
        if len(text.encode()) <= MAX_ARGUMENTS:
            return text
    return json.dumps({"…": f"{len(arguments):,} arguments"}, ensure_ascii=False)


def _entries(arguments: Mapping[str, Any], length: int, redaction: Redaction) -> Iterator[tuple[str, Any]]:
    for name, value in islice(arguments.items(), _MOST):
        yield _cut(name, _MAX_NAME, redaction), _shortened(value, length, redaction)
    if len(arguments) > _MOST:
        yield "…", f"{len(arguments) - _MOST:,} more"


def _shortened(value: Any, length: int, redaction: Redaction) -> Any:
    """Return a value as it is if it is short; otherwise the begin of it, or of its JSON, and how long it is."""
    if isinstance(value, str):
        return _cut(value, length, redaction)
    try:
        text = json.dumps(value, ensure_ascii=False)
        if len(text) > length:
            return _cut(text, length, redaction)
        # NaN and infinity are no JSON.
        return redaction.hide(json.loads(_whole(text), parse_constant=str))
    except (RecursionError, ValueError):
        return "…"


def _cut(text: str, length: int, redaction: Redaction) -> str:
    shown = redaction.hide(_whole(text[: length + _MAX_KEY]))
    return shown if len(text) <= length else f"{shown[:length]}… ({len(text):,} characters)"


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which no database can hold."""
    return text.encode("utf-8", "replace").decode()
