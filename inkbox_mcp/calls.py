"""One tool call: its name for those who follow it through the logs, its deadline, and what came of it so far."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

import anyio

_current: ContextVar["Call"] = ContextVar("current_call")


def new_request_id() -> str:
    """Make an id that no other call has."""
    return secrets.token_hex(8)


@dataclass
class Call:
    """One tool call, as far as the API is concerned.

    Attributes:
        timeout: seconds that it may take.
        request_id: the name under which logs, errors and the API know it.
        status: the HTTP status of the latest answer.
        missing: the paths that were looked at and are not there.
        clock: seconds by which the API's clock is ahead of `anyio.current_time()`, at least; None while no answer was
            dated.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)
    status: int | None = None
    missing: set[str] = field(default_factory=set[str])
    clock: float | None = None

    def __post_init__(self) -> None:
        self.restart()

    def answered(self, status: int, date: datetime | None) -> None:
        """Note an answer: its status, and the API's clock, which tells whole seconds."""
        self.status = status
        if date:
            # Each answer was dated before it came, so that the largest difference is nearest to the true one.
            ahead = date.timestamp() - anyio.current_time()
            self.clock = ahead if self.clock is None else max(self.clock, ahead)

    def restart(self) -> None:
        """Give the call its whole time again, after a human took some of it."""
        self._deadline = anyio.current_time() + self.timeout

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - anyio.current_time()


@contextmanager
def begin(timeout: float, request_id: str | None = None) -> Generator[Call]:
    """Begin a tool call: what is sent within shares its deadline and its id.

    Args:
        timeout: seconds that it may take.
        request_id: the caller's own name for it; one that could not stand in a header or a log is replaced.
    """
    known = request_id is not None and re.fullmatch(r"[\w.:/+=@-]{1,128}", request_id, re.ASCII)
    call = Call(timeout, request_id) if request_id and known else Call(timeout)
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)


def current() -> Call:
    """Return the tool call that is under way."""
    return _current.get()


def request_id() -> str | None:
    """Return the id of the tool call that is under way, if any."""
    call = _current.get(None)
    return call and call.request_id
