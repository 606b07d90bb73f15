"""Events of the page: that something has changed, whoever changed it."""

import json
import signal
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import ClassVar, TypeVar

import anyio
import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from inkbox_mcp.commands.page.changes import MOST_STREAMS, Changes
from inkbox_mcp.commands.page.reading import Reader
from inkbox_mcp.sandbox import Store
from tests.sandbox.mail.people import people
from tests.support.looking import page_of
from tests.support.processes import PATIENCE, Running, start
from tests.support.sandbox_ports import serving
from tests.support.time_lapse import TIME_LAPSE

T = TypeVar("T")


@asynccontextmanager
async def events(http: httpx2.AsyncClient) -> AsyncGenerator[AsyncIterator[int]]:
    """Open a stream, and yield the versions that it tells."""
    async with http.stream("GET", "/page/events") as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines: AsyncIterator[str] = answer.aiter_lines()
        yield (json.loads(line[6:])["version"] async for line in lines if line.startswith("data: "))


@pytest.fixture(params=[":memory:", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store in memory, which has one connection, and one in a file."""
    with Store(":memory:" if request.param == ":memory:" else tmp_path / "x.db") as store:
        yield store


async def test_a_stream_tells_of_each_change(store: Store) -> None:
    """It begins with an event, so that whoever connects again asks for what was missed."""
    async with people(store, "spec", "alice"):
        with serving(page_of(store)) as url, anyio.fail_after(PATIENCE):
            async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http, events(http) as versions:
                seen = [await anext(versions)]
                for _ in range(3):
                    await anyio.to_thread.run_sync(store.deliver, b"Subject: Hi\n\nhi", ["alice@inkboxmail.com"])
                    seen.append(await anext(versions))
    assert len(set(seen)) == 4


async def test_changes_by_other_processes_are_told(tmp_path: Path) -> None:
    """Such as a client that was started with --sandbox on the same file."""
    path = tmp_path / "x.db"
    with Store(path) as store, serving(page_of(store)) as url, anyio.fail_after(PATIENCE):
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http, events(http) as versions:
            first = await anext(versions)
            with closing(sqlite3.connect(path)) as other:
                other.execute("INSERT INTO organizations VALUES ('org_x', 1)")
                other.commit()
            assert await anext(versions) != first


class Browser:
    """A client without a network; it is there until it closes."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = anyio.Event()
        self._more = anyio.Event()

    async def receive(self) -> Message:
        """Return the end of the connection."""
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        self.sent.append(message.get("body", b""))
        self._more.set()
        self._more = anyio.Event()

    async def has(self, parts: int) -> None:
        """Wait for so many parts of the answer; its head is the first."""
        while len(self.sent) < parts:
            await self._more.wait()

    async def open(self, changes: Changes) -> None:
        """Ask for the stream, and return when it has ended."""
        await changes({"type": "http", "method": "GET"}, self.receive, self.send)


async def test_streams_are_limited_and_one_that_is_closed_makes_room() -> None:
    """A page that is one too many is told so."""
    with Store(":memory:") as store:
        changes = Changes(Reader(store))
        async with anyio.create_task_group() as tasks:
            browsers = [Browser() for _ in range(MOST_STREAMS)]
            for browser in browsers:
                tasks.start_soon(browser.open, changes)
                await browser.has(1)
            with pytest.raises(HTTPException) as refused:
                await Browser().open(changes)
            assert (refused.value.status_code, refused.value.detail) == (503, "32 pages are open; close one of them.")
            browsers[0].closed.set()
            while changes.streams == MOST_STREAMS:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon((another := Browser()).open, changes)
            await another.has(1)
            for browser in (*browsers, another):
                browser.closed.set()
        assert changes.streams == 0


@pytest.mark.parametrize("anyio_backend", [TIME_LAPSE])
async def test_a_silent_stream_says_that_it_is_there(anyio_backend: object) -> None:
    """A comment every 15 seconds; nothing else while nothing changes."""
    with Store(":memory:") as store:
        browser = Browser()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(browser.open, Changes(Reader(store)))
            await browser.has(3)
            begun = anyio.current_time()
            await browser.has(5)
            assert anyio.current_time() - begun >= 30
            browser.closed.set()
    assert browser.sent[:2] == [b"", b"retry: 1000\n\n"]
    assert browser.sent[2].startswith(b"event: change\ndata: ")
    assert browser.sent[3:5] == [b":\n\n", b":\n\n"]


class Unreadable(Reader):
    """Finds the database busy at first, and then broken."""

    faults: ClassVar[list[sqlite3.Error]] = []

    async def read(self, look: Callable[..., T], *arguments: object) -> T:
        """Read it the third time."""
        if self.faults:
            raise self.faults.pop()
        return await super().read(look, *arguments)


async def test_a_database_that_cannot_be_read_ends_no_stream() -> None:
    """The next look tells what has changed."""
    Unreadable.faults[:] = [sqlite3.DatabaseError("malformed"), sqlite3.OperationalError("database is locked")]
    with Store(":memory:") as store:
        browser = Browser()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(browser.open, Changes(Unreadable(store)))
            await browser.has(3)
            browser.closed.set()
    assert browser.sent[2].startswith(b"event: change\n")


async def test_a_client_that_only_asks_for_the_head_gets_an_end(store: Store) -> None:
    """Not a stream."""
    with serving(page_of(store)) as url, anyio.fail_after(PATIENCE):
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:
            assert (await http.head("/page/events")).status_code == 200


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_sandbox_ends_although_pages_are_open(number: signal.Signals, tmp_path: Path) -> None:
    """With status 0, and without a word."""
    async with start("sandbox", "--port", "0", "--db", str(tmp_path / "x.db"), home=tmp_path) as sandbox:
        url = await page_url(sandbox)
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http, AsyncExitStack() as opened:
            for _ in range(3):
                await anext(await opened.enter_async_context(events(http)))
            sandbox.signal(number)
            assert await sandbox.end() == (0, "", "")


async def page_url(sandbox: Running) -> str:
    """Return the URL of the page, from the first lines."""
    while "see its mailboxes" not in (line := await sandbox.line()):
        pass
    return line.rpartition(" ")[2]
