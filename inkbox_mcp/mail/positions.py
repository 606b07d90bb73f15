"""Where somebody who reads a mailbox message by message has come to.

Messages may appear late: one that was created earlier can become visible after a later one, and many can have the same
time. So a position is a time, and the messages of the seconds before it that were read. A message that is deleted does
not change it. Nor does a message whose time is still to come, because a clock was wrong: the position names it, and
what comes in the meantime is new.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any, Self

LATE = 5_000_000
"""Microseconds by which a message may appear late."""
MOST = 300
"""The most messages of these seconds that a position names. Of more, those that appear late are not new."""
MOST_AHEAD = 50
"""The most messages of times to come that a position names. More of them move it on."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORM = re.compile(
    r"p(-?[0-9]{1,18})(?:-([0-9]{1,7}))?(?:\.([A-Za-z0-9_-]{1,2800}))?(?:\.\.([A-Za-z0-9_-]{1,400}))?"
    r"(?:\.\.\.([A-Za-z0-9_-]{1,600}))?"
)
_ID, _AGE = 4, 3  # bytes of an entry: a digest of the id, and the microseconds before the position
_SECOND = 5  # bytes of the time of a message that is ahead, in seconds since 1970
_LONGEST_ID = 300  # bytes; an id of the API has 36


@dataclass(frozen=True)
class Position:
    """A position in a mailbox.

    Attributes:
        time: of the latest message that was read, in microseconds since 1970; or where the reading began.
        since: messages that were created earlier are not new.
        read: the messages that were read since then: the digest of each id, and when it was created.
        passed: of the messages that were created at `since`, those with this id or a lower one are not new.
        ahead: the messages that were read before the time at which they say they were created: the digest of each id,
            and that time in seconds since 1970, rounded up.
    """

    time: int
    since: int
    read: dict[bytes, int] = field(default_factory=dict[bytes, int])
    passed: str = ""
    ahead: dict[bytes, int] = field(default_factory=dict[bytes, int])

    @classmethod
    def at(cls, time: int) -> Self:
        """Return the position at which all messages since a time are new."""
        return cls(time, time)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            ValueError: the text is no position.
        """
        found = _FORM.fullmatch(text)
        if not found:
            raise ValueError("is no position")
        time, age = int(found[1]), int(found[2] or 0)
        read = {each: time - ago for each, ago in _entries(found[3], _AGE).items()}
        return cls(time, time - age, read, _unpacked(found[4] or "").decode(), _entries(found[5], _SECOND))

    def __str__(self) -> str:
        age = f"-{self.time - self.since}" if self.since != self.time else ""
        read = _written({each: self.time - created for each, created in self.read.items()}, _AGE)
        parts = zip((".", "..", "..."), (read, self.passed.encode(), _written(self.ahead, _SECOND)), strict=True)
        return f"p{self.time}{age}" + "".join(f"{mark}{_packed(data)}" for mark, data in parts if data)

    def is_new(self, message: dict[str, Any]) -> bool:
        """Whether a message, as the API lists it, has not been read."""
        digest = _digest(message)
        return _place(message) > (self.since, self.passed) and digest not in self.read and digest not in self.ahead

    def after(self, message: dict[str, Any], now: int | None = None) -> "Position":
        """Return the position when a message was read, too. Messages are to be read in the order of `in_order`.

        Args:
            message: as the API lists it.
            now: the API's time in microseconds since 1970, or somewhat earlier; None if it is not known.
        """
        place = _place(message)
        if now is not None and place[0] > max(now, self.time) and len(self.ahead) < MOST_AHEAD:
            return replace(self, ahead={**self.ahead, _digest(message): -(-place[0] // 1_000_000)})
        time = max(self.time, place[0])
        floor = max((self.since, self.passed), (time - LATE, ""))
        read = {each: moment for each, moment in self.read.items() if moment >= floor[0]}
        if place > floor:
            if len(read) < MOST or _digest(message) in read:
                read[_digest(message)] = place[0]
            else:
                # What was created at the same moment stays: its ids are not known, and may be higher.
                floor, read = place, {each: moment for each, moment in read.items() if moment >= place[0]}
        ahead = {each: second for each, second in self.ahead.items() if second * 1_000_000 >= floor[0]}
        return Position(time, floor[0], read, floor[1], ahead)


def created(message: dict[str, Any]) -> int:
    """Return when a message was created, in microseconds since 1970; 0 if it does not say it."""
    return moment(message.get("created_at")) or 0


def moment(text: object) -> int | None:
    """Return an ISO 8601 time in microseconds since 1970, taken for UTC if it has no offset; None if it is none."""
    try:
        time = datetime.fromisoformat(str(text))
        return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def in_order(message: dict[str, Any]) -> tuple[int, str]:
    """Return the key by which messages are read, oldest first."""
    return created(message), str(message.get("id"))


def _place(message: dict[str, Any]) -> tuple[int, str]:
    """Return the same key with an id that a position can hold."""
    time, name = in_order(message)
    return time, name.encode("utf-8", "replace")[:_LONGEST_ID].decode("utf-8", "ignore")


def _digest(message: dict[str, Any]) -> bytes:
    return blake2s(str(message.get("id")).encode("utf-8", "replace"), digest_size=_ID).digest()


def _entries(text: str | None, size: int) -> dict[bytes, int]:
    """Read what `_written` wrote.

    Raises:
        ValueError: the text is of another length.
    """
    data, whole = _unpacked(text or ""), _ID + size
    if len(data) % whole:
        raise ValueError("is no position")
    entries = (data[at : at + whole] for at in range(0, len(data), whole))
    return {entry[:_ID]: int.from_bytes(entry[_ID:], "big") for entry in entries}


def _written(numbers: dict[bytes, int], size: int) -> bytes:
    """Write a number for each digest, in so many bytes."""
    return b"".join(each + number.to_bytes(size, "big") for each, number in numbers.items())


def _packed(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
