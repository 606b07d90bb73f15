"""The state of one tool call: its id, its deadline, its progress reports, and facts about its requests."""

import re
import secrets
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import anyio

_current: ContextVar["Call"] = ContextVar("current_call")

Report = Callable[[float, float | None, str | None], Awaitable[None]]
"""Sends a progress report: progress, total, and a message."""


def new_request_id() -> str:
    """Return a new unique id."""
    return secrets.token_hex(8)


class Ending:
    """Tells waiting calls that the server is about to stop, without a task in each of them."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._cut_off: set[anyio.CancelScope] = set()

    def set(self) -> None:
        """Say that the server is about to stop, and cancel what is to be cut off."""
        self._event.set()
        for scope in self._cut_off:
            scope.cancel()

    def is_set(self) -> bool:
        """Whether the server is about to stop."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when the server is about to stop."""
        await self._event.wait()

    @contextmanager
    def cuts_off(self, scope: anyio.CancelScope) -> Generator[None]:
        """Cancel a scope when the server is about to stop, while the context lasts."""
        self._cut_off.add(scope)
        if self.is_set():
            scope.cancel()
        try:
            yield
        finally:
            self._cut_off.remove(scope)


@dataclass
class Call:
    """The state of one tool call.

    Attributes:
        timeout: seconds that it may take.
        request_id: its id in logs, in errors, and for the API.
        status: the HTTP status of the latest answer.
        missing: the paths of GET requests that were answered 404.
        clock: the least seconds by which the API's clock is ahead of `anyio.current_time()`; None before a first date.
        ending: set when the server is about to stop, so that a waiting call can answer in time; None for other calls.
        reporter: sends progress reports to the client; None if it wants none, or the call has ended.
        attachments_dir: the folder in which the call may save files, and from which it may send some; None if there is
            none.
        plan: what the call is about to do, as its question shows it; None if it was not worked out yet.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)
    status: int | None = None
    missing: set[str] = field(default_factory=set[str])
    clock: float | None = None
    ending: Ending | None = None
    reporter: Report | None = None
    attachments_dir: Path | None = None
    plan: object = None

    def __post_init__(self) -> None:
        self.restart()

    def answered(self, status: int, date: datetime | None) -> None:
        """Record the status and the date of an answer."""
        self.status = status
        if date:
            # An answer is dated before it arrives, so the largest difference is the most exact.
            ahead = date.timestamp() - anyio.current_time()
            self.clock = ahead if self.clock is None else max(self.clock, ahead)

    def restart(self) -> None:
        """Restart the call's time limit, after waiting for a human."""
        self._deadline = anyio.current_time() + self.timeout

    def begin_to_wait(self, seconds: float, ending: Ending) -> None:
        """Replace the time limit by the tool's own, which begins now.

        Args:
            seconds: that the call may take.
            ending: set when the server is about to stop.
        """
        self.timeout, self.ending = seconds, ending
        self.restart()

    async def pause(self, seconds: float) -> bool:
        """Wait before the next look; at most until the deadline, or until the server is about to stop.

        Returns:
            Whether there is time for another look. If not, the tool must answer at once.
        """
        with anyio.move_on_after(min(seconds, self.remaining)):
            await (self.ending.wait() if self.ending else anyio.sleep_forever())
        return self.remaining > 0 and not (self.ending and self.ending.is_set())

    @contextmanager
    def cut_off(self, seconds: float) -> Generator[anyio.CancelScope]:
        """Cancel what is under way in the context after some seconds, or when the server is about to stop.

        Args:
            seconds: at most until the deadline.
        """
        with anyio.move_on_after(min(seconds, self.remaining)) as scope:
            with self.ending.cuts_off(scope) if self.ending else nullcontext():
                yield scope

    async def report(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Send a progress report, if the client asked for reports and the call has not ended.

        Args:
            done: the progress, in any unit; must be larger than in the last report.
            total: the progress at the end, if known.
            message: the current step, in one line of at most 200 characters.
        """
        if self.reporter:
            await self.reporter(done, total, message)

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - anyio.current_time()


@contextmanager
def begin(timeout: float, request_id: str | None = None) -> Generator[Call]:
    """Begin a tool call. All requests within the context share its deadline and id.

    Args:
        timeout: seconds that it may take.
        request_id: the caller's own id; replaced if it does not fit into a header or a log line.
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
    """Return the current tool call."""
    return _current.get()


def request_id() -> str | None:
    """Return the id of the current tool call, if there is one."""
    call = _current.get(None)
    return call and call.request_id
