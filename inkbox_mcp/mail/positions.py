"""Where somebody who reads a mailbox message by message has come to.

Messages may appear late: one that was created earlier can become visible after a later one, and many can have the same
time. So a position is a time, and the messages of the seconds before it that were read. A message that is deleted does
not change it.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any, Self

LATE = 5_000_000
"""Microseconds by which a message may appear late."""
MOST = 300
"""The most messages of these seconds that a position names. Of more, those that appear late are not new."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORM = re.compile(r"p(-?[0-9]{1,18})(?:-([0-9]{1,7}))?(?:\.([A-Za-z0-9_-]{1,2800}))?(?:\.\.([A-Za-z0-9_-]{1,400}))?")
_ID, _AGE = 4, 3  # bytes of an entry: a digest of the id, and the microseconds before the position
_LONGEST_ID = 300  # bytes; an id of the API has 36


@dataclass(frozen=True)
class Position:
    """A position in a mailbox.

    Attributes:
        time: of the latest message that was read, in microseconds since 1970; or where the reading began.
        since: messages that were created earlier are not new.
        read: the messages that were read since then: the digest of each id, and when it was created.
        passed: of the messages that were created at `since`, those with this id or a lower one are not new.
    """

    time: int
    since: int
    read: dict[bytes, int] = field(default_factory=dict[bytes, int])
    passed: str = ""

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
        data, passed = (_unpacked(found[group] or "") for group in (3, 4))
        size = _ID + _AGE
        if len(data) % size:
            raise ValueError("is no position")
        read = {
            data[at : at + _ID]: time - int.from_bytes(data[at + _ID : at + size], "big")
            for at in range(0, len(data), size)
        }
        return cls(time, time - age, read, passed.decode())

    def __str__(self) -> str:
        entries = b"".join(each + (self.time - created).to_bytes(_AGE, "big") for each, created in self.read.items())
        age = f"-{self.time - self.since}" if self.since != self.time else ""
        named = f".{_packed(entries)}" if entries else ""
        return f"p{self.time}{age}{named}{f'..{_packed(self.passed.encode())}' if self.passed else ''}"

    def is_new(self, message: dict[str, Any]) -> bool:
        """Whether a message, as the API lists it, has not been read."""
        return _place(message) > (self.since, self.passed) and _digest(message) not in self.read

    def after(self, message: dict[str, Any]) -> "Position":
        """Return the position when a message was read, too. Messages are to be read in the order of `in_order`."""
        place = _place(message)
        time = max(self.time, place[0])
        floor = max((self.since, self.passed), (time - LATE, ""))
        read = {each: moment for each, moment in self.read.items() if moment >= floor[0]}
        if place > floor:
            if len(read) < MOST or _digest(message) in read:
                read[_digest(message)] = place[0]
            else:
                # What was created at the same moment stays: its ids are not known, and may be higher.
                floor, read = place, {each: moment for each, moment in read.items() if moment >= place[0]}
        return Position(time, floor[0], read, floor[1])


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


def _packed(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _unpacked(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
