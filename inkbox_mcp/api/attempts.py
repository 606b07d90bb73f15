"""What a process remembers of the messages that it tried to send."""

from collections import OrderedDict
from dataclasses import dataclass
from time import time
from typing import TypeVar

import anyio

from inkbox_mcp.api.outgoing import Outgoing, SentMessage
from inkbox_mcp.calls import current
from inkbox_mcp.errors import KeyReused

V = TypeVar("V")

WINDOW = 600.0
"""Seconds in which the same message is taken for a repetition."""
REMEMBERED = 1000
"""Messages that a process remembers."""
SKEW = 1.0
"""HTTP dates have no fractions of a second."""
DISAGREEMENT = 5.0
"""Seconds by which the clocks of what dates an answer and of what dates a message may differ, such as of a gateway."""


@dataclass(slots=True)
class Attempt:
    """A message that this process tried to send.

    Attributes:
        content: what tells it from other messages.
        likeness: what it has in common with those that look like it.
        key: the idempotency key that it was sent under.
        since: the time by the API's clock before which it cannot have left, in seconds since 1970.
        at: when it was tried first, or when it left, in seconds of the event loop's clock.
        message: as the API shows it; None if it may or may not have left.
    """

    content: str
    likeness: str
    key: str | None
    since: float
    at: float
    message: SentMessage | None = None

    @property
    def is_recent(self) -> bool:
        """Whether the same message is taken for a repetition of it."""
        return anyio.current_time() - self.at < WINDOW


class Attempts:
    """The messages that a process tried to send with one Inkbox key."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Attempt] = OrderedDict()
        self._ids: OrderedDict[str, None] = OrderedDict()

    def has_sent(self, name: str) -> bool:
        """Whether a message is known to have been sent here.

        Args:
            name: its id.
        """
        return name in self._ids

    def known(self, outgoing: Outgoing, content: str) -> Attempt | None:
        """Return what this process knows of the same message: under its own key, or within the `WINDOW`.

        Args:
            outgoing: the message.
            content: what tells it from others.

        Raises:
            KeyReused: the caller's key stands for another message.
        """
        attempt = self._known.get(outgoing.own_name or content)
        if attempt is None or not (outgoing.key or attempt.is_recent):
            return None
        if attempt.content != content:
            raise KeyReused
        return attempt

    def begin(self, outgoing: Outgoing, content: str, key: str | None = None) -> Attempt:
        """Remember a message that is about to be sent.

        Args:
            outgoing: the message.
            content: what tells it from others.
            key: the idempotency key that it is sent under.
        """
        attempt = Attempt(content, outgoing.likeness, key, api_time() - SKEW, anyio.current_time())
        _keep(self._known, outgoing.own_name or content, attempt)
        return attempt

    def remember(self, attempt: Attempt, message: SentMessage, *, replayed: bool = False) -> None:
        """Remember that a message has left, for calls without a key too.

        Args:
            attempt: to send it.
            message: as the API shows it.
            replayed: whether it had left before this call.
        """
        ago = api_time() - message.made if replayed and message.made else 0.0
        attempt.message, attempt.at = message, anyio.current_time() - max(ago, 0.0)
        other = self._known.get(attempt.content)
        if other is None or not other.is_recent or (other.message and other.at <= attempt.at):
            _keep(self._known, attempt.content, attempt)
        _keep(self._ids, message.id, None)

    def forget(self, attempt: Attempt) -> None:
        """Forget a message that has not left."""
        for name in [name for name, each in self._known.items() if each is attempt]:
            del self._known[name]

    def are_of(self, found: list[SentMessage], attempt: Attempt) -> bool:
        """Whether sent messages that look like an attempt's are its one and only, and of nothing else on its way.

        Args:
            found: the messages, without those that this process knows.
            attempt: to send one like them.
        """
        others = (
            other
            for other in self._known.values()
            if other is not attempt and other.message is None and other.is_recent
        )
        return (
            len(found) == 1
            and found[0].made is not None
            and not found[0].is_older(attempt.since)
            and all(other.likeness != attempt.likeness for other in others)
        )


def api_time() -> float:
    """Return the time by the API's clock if an answer of this call was dated, in seconds since 1970."""
    clock = current().clock
    return time() if clock is None else anyio.current_time() + clock


def _keep(kept: OrderedDict[str, V], name: str, value: V) -> None:
    """Remember a value, in place of the oldest one."""
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
