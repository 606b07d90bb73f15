"""The transport of stdio: lines, pipes and how they end, also with clients that misbehave."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.stdio.pipes import MAX_LINE, MAX_UNSENT, Pipes
from inkbox_mcp.stdio.serve import serve_pipes
from inkbox_mcp.stdio.warm_start import Beginning
from tests.support.agents import KEY
from tests.support.alike import SIGNALS_ALIKE, choices
from tests.support.messages import HANDSHAKE as HELLO
from tests.support.messages import rpc as message
from tests.support.processes import COMMAND, PATIENCE, environment, upstream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures what Linux shows")


HANDSHAKE = message(id=0, method="initialize", params=HELLO) + message(method="notifications/initialized")
CALL = message(id=1, method="tools/call", params={"name": "list_mailboxes", "arguments": {}})
LIST = message(id=1, method="tools/list")


class Wire:
    """What a client holds: a process, unless this one serves, and a descriptor for each direction."""

    def __init__(self, process: subprocess.Popen[bytes] | None, to: int, back: int) -> None:
        self._process, self.to, self.back = process, to, back
        self._unread = b""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's own process."""
        assert self._process
        return self._process

    def write(self, *lines: bytes) -> None:
        """Write bytes to the server, all of them."""
        data = memoryview(b"".join(lines))
        while data:
            assert select.select([], [self.to], [], PATIENCE)[1]
            data = data[os.write(self.to, data[: select.PIPE_BUF]) :]

    def line(self) -> dict[str, Any]:
        """Read the next message of the server."""
        while b"\n" not in self._unread:
            data = self._read()
            assert data, "the server has ended"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def rest(self) -> list[dict[str, Any]]:
        """Read all messages up to the end."""
        chunks = [self._unread]
        while data := self._read():
            chunks.append(data)
        return [json.loads(line) for line in b"".join(chunks).splitlines()]

    def _read(self) -> bytes:
        assert select.select([self.back], [], [], PATIENCE)[0]
        return os.read(self.back, 1 << 20)

    def memory(self, name: str) -> int:
        """Return how many kB of memory the server has (VmRSS), or has had at most (VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith(name))


@contextmanager
def running(home: Path, stdin: int, stdout: int, to: int, back: int, stderr: Any = None) -> Generator[Wire]:
    """Start a server on these ends of two pipes; the test holds the other ends."""
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "--sandbox", "--sandbox-db", ":memory:"],
            stdin=stdin,
            stdout=stdout,
            stderr=log if stderr is None else stderr,
            env=environment(home),
        )
    try:
        yield Wire(process, to, back)
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in (home / "log").read_text()
    finally:
        process.kill()
        process.wait()


@contextmanager
def piped(home: Path) -> Generator[Wire]:
    """Start a server on two pipes; to end it, close `to`."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    ends = [stdin, stdout, back]
    try:
        with running(home, stdin, stdout, to, back) as wire:
            os.close(ends.pop(0))
            os.close(ends.pop(0))
            yield wire
    finally:
        for fd in ends:
            os.close(fd)


@contextmanager
def served_here() -> Generator[Wire]:
    """Serve on two pipes in a thread of this process, as a process does once it is loaded; who ends it closes `to`."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, stdout):
        os.set_blocking(fd, False)

    async def serve() -> None:
        async with anyio.create_task_group() as tasks:
            pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel)
            settings = Settings(sandbox=True, sandbox_db=":memory:")
            await serve_pipes(Service(settings), pipes, Beginning())

    try:
        with ThreadPoolExecutor(1) as thread:
            serving = thread.submit(anyio.run, serve)
            serving.add_done_callback(lambda _: os.close(stdout))
            try:
                yield Wire(None, to, back)
            except BaseException:
                with suppress(OSError):
                    os.close(to)  # or the thread would wait for more input for ever
                raise
            serving.result(PATIENCE)
    finally:
        for fd in (stdin, back):
            os.close(fd)


def test_all_that_was_asked_before_the_end_of_input_is_answered() -> None:
    """In a shell's pipeline input ends before the first answer comes."""
    calls = [message(id=number, method="tools/call", params={"name": "list_mailboxes"}) for number in range(2, 9)]
    with served_here() as wire:
        wire.write(HANDSHAKE, LIST, *calls)
        os.close(wire.to)
        answers = {answer["id"]: answer for answer in wire.rest()}
    assert sorted(answers) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert all("result" in answer for answer in answers.values())


def test_a_last_line_without_an_end_is_a_line() -> None:
    """Not every program writes a line break after its last line."""
    with served_here() as wire:
        wire.write(HANDSHAKE, LIST.strip())
        os.close(wire.to)
        assert [answer["id"] for answer in wire.rest()] == [0, 1]


def test_a_last_line_that_is_half_a_message_is_refused() -> None:
    """It is refused like any other line that is not a message."""
    with served_here() as wire:
        wire.write(HANDSHAKE, LIST[:10])
        os.close(wire.to)
        assert [answer["id"] for answer in wire.rest()] == [0, None]


def test_a_line_without_end_is_refused_once_and_not_kept(tmp_path: Path) -> None:
    """It is refused at the limit, because its end may never come; the next line is served."""
    with piped(tmp_path) as wire:
        wire.write(HANDSHAKE)
        wire.line()
        wire.write(b"x" * (MAX_LINE + 1))
        refusal = wire.line()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        before = wire.memory("VmHWM")
        wire.write(b"x" * (5 * MAX_LINE), b"\n", CALL)
        assert wire.line()["result"]["structuredContent"]["total"] == 0
        assert wire.memory("VmHWM") - before < MAX_LINE * 2 / 1024
        os.close(wire.to)
        assert wire.rest() == []


def test_the_longest_line_is_served() -> None:
    """The limit itself is allowed, and is far beyond any real message."""
    with served_here() as wire:
        wire.write(HANDSHAKE, LIST.strip().ljust(MAX_LINE) + b"\n")
        assert [wire.line()["id"], wire.line()["id"]] == [0, 1]
        os.close(wire.to)


def flood(wire: Wire) -> int:
    """Ask for the tools until the server reads no more; return the number of requests."""
    asked, burst = 0, LIST * 50
    os.set_blocking(wire.to, False)
    while select.select([], [wire.to], [], 1)[1]:
        try:
            asked += os.write(wire.to, burst[asked % len(LIST) :])
        except BlockingIOError:
            break
    os.set_blocking(wire.to, True)
    wire.write(burst[asked % len(LIST) :][: -asked % len(LIST)])
    return -(-asked // len(LIST))


@pytest.mark.slow
def test_a_client_that_does_not_read_is_not_listened_to_either_and_loses_nothing(tmp_path: Path) -> None:
    """Otherwise its answers would fill the memory; once it reads, it gets all of them whole."""
    with piped(tmp_path) as wire:
        wire.write(HANDSHAKE)
        wire.line()
        before = wire.memory("VmRSS")
        asked = flood(wire)
        assert wire.memory("VmRSS") - before < 10 * MAX_UNSENT / 1024
        assert asked * 10_000 > MAX_UNSENT
        for _ in range(asked):
            assert wire.line()["id"] == 1
        wire.write(CALL)
        assert wire.line()["result"]["structuredContent"]["total"] == 0
        os.close(wire.to)


@SIGNALS_ALIKE
def test_a_signal_ends_it_although_the_client_does_not_read(number: signal.Signals, tmp_path: Path) -> None:
    """The server ends at once and does not wait for the client to read."""
    with piped(tmp_path) as wire:
        wire.write(HANDSHAKE)
        wire.line()  # before it has loaded, a signal would end Python or be ignored
        flood(wire)
        started = time.monotonic()
        wire.process.send_signal(number)
        assert wire.process.wait(PATIENCE) == 0
        assert time.monotonic() - started < 1.5  # before the last resort
        os.close(wire.to)


def test_the_end_of_input_ends_it_although_the_client_does_not_read() -> None:
    """The server waits only a moment for the client to read."""
    with served_here() as wire:
        wire.write(HANDSHAKE, *[LIST] * 100)
        os.close(wire.to)


@pytest.mark.slow
def test_garbage_from_a_client_that_has_stopped_reading_ends_it(tmp_path: Path) -> None:
    """The refusal cannot be delivered, so the server has no client left."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    with running(tmp_path, stdin, stdout, to, back) as wire:
        for fd in (stdin, stdout, back):
            os.close(fd)
        wire.write(b"garbage\n" * 100)
        assert wire.process.wait(PATIENCE) == 0
    os.close(to)


def end_of_input(wire: Wire) -> None:
    """End a server as its client does."""
    os.close(wire.to)


def by_signal(wire: Wire) -> None:
    """End a server as its supervisor does."""
    wire.process.terminate()
    wire.process.wait(PATIENCE)
    os.close(wire.to)


@pytest.mark.parametrize("end", choices([end_of_input, by_signal], {end_of_input}))
@pytest.mark.parametrize("blocking", choices([True, False], {False}))
def test_the_pipes_are_left_as_they_were(end: Callable[[Wire], None], blocking: bool, tmp_path: Path) -> None:
    """They may belong to the shell that started the server and goes on using them."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, stdout):
        os.set_blocking(fd, blocking)
    with running(tmp_path, stdin, stdout, to, back) as wire:
        wire.write(HANDSHAKE)
        assert wire.line()["id"] == 0
        assert not os.get_blocking(stdin)
        end(wire)
        assert wire.process.wait(PATIENCE) == 0
        assert [os.get_blocking(stdin), os.get_blocking(stdout)] == [blocking, blocking]
    for fd in (stdin, stdout, back):
        os.close(fd)


def test_it_serves_on_one_socket_for_both_directions(tmp_path: Path) -> None:
    """Programs such as sshd and inetd start a server in this way."""
    ours, its = socket.socketpair()
    with ours, running(tmp_path, its.fileno(), its.fileno(), ours.fileno(), ours.fileno()) as wire:
        its.close()
        wire.write(HANDSHAKE, CALL)
        assert [wire.line()["id"], wire.line()["id"]] == [0, 1]
        ours.shutdown(socket.SHUT_WR)
        assert wire.rest() == []


def test_it_serves_on_a_terminal_and_leaves_it_blocking(tmp_path: Path) -> None:
    """A developer may try it by hand; the shell shares the terminal and needs it blocking."""
    import pty  # Windows lacks this module, but collects these tests

    ours, its = pty.openpty()
    with running(tmp_path, its, its, ours, ours, stderr=its) as wire:
        assert b"waiting for an MCP client" in os.read(ours, 4096)
        wire.write(LIST)
        while "jsonrpc" not in (shown := wire.line()) or "error" not in shown:  # the terminal's echo comes first
            pass
        assert os.get_blocking(its)
        wire.process.send_signal(signal.SIGINT)
        assert wire.process.wait(PATIENCE) == 0
    os.close(ours)
    os.close(its)


def test_it_serves_where_its_log_goes_to_the_client_too(tmp_path: Path) -> None:
    """With `2>&1` the pipe stays blocking, because a log cannot wait."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    with running(tmp_path, stdin, stdout, to, back, stderr=stdout) as wire:
        wire.write(HANDSHAKE)
        assert wire.line()["id"] == 0
        assert [os.get_blocking(stdin), os.get_blocking(stdout)] == [True, True]
        os.close(to)
    for fd in (stdin, stdout, back):
        os.close(fd)


@pytest.mark.slow
def test_it_serves_a_file_of_requests(tmp_path: Path) -> None:
    """A test of an installation may read requests from one file and write answers to another."""
    requests, answers = tmp_path / "requests", tmp_path / "answers"
    requests.write_bytes(HANDSHAKE + message(id=1, method="ping"))
    with (
        requests.open("rb") as stdin,
        answers.open("wb") as stdout,
        running(tmp_path, stdin.fileno(), stdout.fileno(), -1, -1),
    ):
        pass
    assert json.loads(answers.read_text().splitlines()[0])["id"] == 0


def shell(home: Path, redirections: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a shell with these redirections."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *COMMAND, *arguments]
    env = environment(home, **variables)
    return subprocess.run(command, env=env, input=b"", capture_output=True, timeout=PATIENCE, check=False, cwd=home)


REDIRECTED = ["<requests", "<requests >answers", "<requests 2>&1", "<requests >answers 2>&1"]


@pytest.mark.parametrize("redirections", choices(REDIRECTED, REDIRECTED[1:]))
async def test_calls_under_way_finish_at_the_end_of_a_file(redirections: str, tmp_path: Path) -> None:
    """The end of a file means the same as the end of a pipe."""
    calls = [message(id=number, method="tools/call", params={"name": "list_mailboxes"}) for number in range(2, 9)]
    (tmp_path / "requests").write_bytes(HANDSHAKE + b"".join(calls))
    async with upstream(answer=[]) as api:
        run = partial(shell, tmp_path, redirections, INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY)
        ended = await anyio.to_thread.run_sync(run)
    written = (tmp_path / "answers").read_bytes() if ">answers" in redirections else ended.stdout
    answers = [json.loads(line) for line in written.splitlines() if line.startswith(b"{")]
    assert ended.returncode == 0
    assert sorted(answer["id"] for answer in answers) == [0, *range(2, 9)]
    assert all("result" in answer and not answer["result"].get("isError") for answer in answers)


@pytest.mark.slow
async def test_calls_under_way_finish_where_the_log_goes_to_the_client_too(tmp_path: Path) -> None:
    """With `2>&1` in a pipeline, stdout stays blocking."""
    async with upstream(answer=[]) as api:
        command = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *COMMAND]
        env = environment(tmp_path, INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY)
        ended = await anyio.run_process(command, input=HANDSHAKE + CALL, env=env, check=False)
    assert ended.returncode == 0
    (answer,) = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith(b'{"jsonrpc":"2.0","id":1')]
    assert answer["result"]["structuredContent"]["total"] == 0


async def test_a_call_that_does_not_finish_is_cancelled_soon_after_the_end_of_a_file(tmp_path: Path) -> None:
    """Otherwise an API that never answers would keep the process alive."""
    (tmp_path / "requests").write_bytes(HANDSHAKE + CALL)
    async with upstream() as api:
        run = partial(shell, tmp_path, "<requests", INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY)
        ended = await anyio.to_thread.run_sync(run)
    assert ended.returncode == 0
    assert b"list_mailboxes cancelled" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("redirections", "closed"),
    [
        ("<&-", "stdin"),
        (">&-", "stdout"),
        ("<&- >&-", "stdin, stdout"),
        pytest.param("<&- 2>&-", None, marks=pytest.mark.slow),
        ("<&- >&- 2>&-", None),
    ],
)
def test_it_does_not_start_without_stdin_or_stdout(redirections: str, closed: str | None, tmp_path: Path) -> None:
    """It prints one line that names the closed streams, unless stderr is closed, too."""
    ended = shell(tmp_path, redirections)
    line = f"inkbox-mcp: an MCP client would be at stdin and stdout, but closed: {closed}\n" if closed else ""
    assert (ended.returncode, ended.stdout, ended.stderr.decode()) == (2, b"", line)


@pytest.mark.parametrize("redirections", choices(["2>&-", "2>/dev/full"], {"2>/dev/full"}))
def test_it_serves_where_nothing_can_be_logged(redirections: str, tmp_path: Path) -> None:
    """A log that cannot be written must not stop the service."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *COMMAND, "--sandbox", "--sandbox-db", ":memory:"]
    ended = subprocess.run(
        command, env=environment(tmp_path), input=HANDSHAKE + CALL, capture_output=True, timeout=PATIENCE, check=False
    )
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("stdout", [">/dev/full", "1</dev/null"])
def test_a_stdout_that_takes_nothing_ends_it_without_a_traceback(stdout: str, tmp_path: Path) -> None:
    """The disk may be full; either this or the end of input is seen first."""
    (tmp_path / "requests").write_bytes(HANDSHAKE)
    ended = shell(tmp_path, f"<requests {stdout}")
    assert (ended.returncode, ended.stderr) in (
        (0, b""),
        (2, b"inkbox-mcp: the answers cannot be written to stdout, or nothing can be read from stdin\n"),
    )


@contextmanager
def in_process() -> Generator[tuple[int, Pipes, int]]:
    """Make pipes in this process; yield the descriptor to write to, the transport, and the one to read from."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, stdout):
        os.set_blocking(fd, False)
    try:
        yield to, Pipes(stdin, stdout, lambda: None), back
    finally:
        for fd in (stdin, stdout, back):
            os.close(fd)


LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8)


@given(methods=LINES, cuts=st.lists(st.integers(0, 500), max_size=8), end=st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_messages_are_the_same_however_they_are_cut(methods: list[str], cuts: list[int], end: bytes) -> None:
    """A pipe keeps the order of bytes, but may split or join writes."""
    data = b"".join(json.dumps({"jsonrpc": "2.0", "method": method}).encode() + end for method in methods)

    async def read() -> list[str]:
        received: list[str] = []
        with in_process() as (to, pipes, _):

            async def write() -> None:
                for start, stop in pairwise([0, *sorted(cuts), len(data) + 500]):
                    os.write(to, data[start:stop])
                    await anyio.lowlevel.checkpoint()
                os.close(to)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                with suppress(anyio.EndOfStream):
                    while True:
                        line = bytes(await pipes.line() or b"")
                        received += [json.loads(line)["method"]] if line.strip() else []
        return received

    assert asyncio.run(read()) == methods


async def test_a_line_whose_writer_was_cancelled_is_not_torn() -> None:
    """The rest of the line is sent before the next line."""
    with in_process() as (to, pipes, back):
        pipes.write(message(method="x" * 300_000))
        with anyio.move_on_after(0.01) as waiting:
            await pipes.send_all()
        assert waiting.cancelled_caught
        received = b""
        async with anyio.create_task_group() as tasks:
            pipes.write(message(method="y"))
            tasks.start_soon(pipes.send_all)
            while not received.endswith(b'"y"}\n'):
                await anyio.wait_readable(back)
                received += os.read(back, 1 << 20)
        os.close(to)
    assert [json.loads(line)["method"][0] for line in received.splitlines()] == ["x", "y"]
