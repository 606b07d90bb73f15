"""One tool call: its id in logs, its deadline, what came of it so far, and how it reports to its client."""

import re
import secrets
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

import anyio

_current: ContextVar["Call"] = ContextVar("current_call")

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells a client how much of a call is done, of how much, and what happens now."""


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
        ending: set when the server is about to stop, so that a call that waits can answer in time; None for a call
            that does not wait.
        reporter: tells the client of progress; None where nobody asked for it, or the call is over.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)
    status: int | None = None
    missing: set[str] = field(default_factory=set[str])
    clock: float | None = None
    ending: anyio.Event | None = None
    reporter: Report | None = None

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

    def begin_to_wait(self, seconds: float, ending: anyio.Event) -> None:
        """Give the call a time limit of its own, from now on, in which it may wait for something to happen.

        Args:
            seconds: that it may take.
            ending: set when the server is about to stop.
        """
        self.timeout, self.ending = seconds, ending
        self.restart()

    async def pause(self, seconds: float) -> bool:
        """Wait before looking again; not beyond the deadline, nor when the server is about to stop.

        Returns:
            Whether there is time to look again. If not, answer at once with what is known.
        """
        with anyio.move_on_after(min(seconds, self.remaining)):
            await (self.ending.wait() if self.ending else anyio.sleep_forever())
        return self.remaining > 0 and not (self.ending and self.ending.is_set())

    async def report(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client how far the call is; nothing happens where it did not ask, or the call is over.

        Args:
            done: how much is done, in any unit; a report that is no more than the last is left out.
            total: of how much, if that is known.
            message: what happens now, in a line; no more than 200 characters are sent.
        """
        if self.reporter:
            await self.reporter(done, total, message)

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
        call.reporter = None
        _current.reset(token)


def current() -> Call:
    """Return the tool call that is under way."""
    return _current.get()


def request_id() -> str | None:
    """Return the id of the tool call that is under way, if any."""
    call = _current.get(None)
    return call and call.request_id
