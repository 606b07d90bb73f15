"""The memory of many clients, beside FastMCP: `python -m benchmarks.memory` takes three minutes.

Of each kind, many are added to a server that has some already, and the growth of its resident memory is divided by
their number.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2

from benchmarks import eras
from benchmarks.client import started
from benchmarks.deployments import serving
from benchmarks.eras import PATH, SESSION
from benchmarks.figures import machine, table
from benchmarks.messages import INITIALIZE, INITIALIZED, LEGACY, MODERN, Era, Message, call
from benchmarks.peers import KEY, Peer, environment, fastmcp, ours
from benchmarks.peers.environments import CACHE
from benchmarks.processes import BenchmarkError, run
from benchmarks.stub import inkbox_stub

BEFORE, COUNT = 100, 1000
"""How many there are before the first look at the memory, and how many are added."""
AT_ONCE = 16
"""How many begin at the same time."""
SHARED = 110
"""Mailboxes in which they wait."""
SECONDS_TO_SETTLE = 8.0
"""Seconds until all that has begun pauses for as long as it ever does."""
TOOL, WAITING = "get_mailbox", "wait_for_message"
GOAL_WAIT, GOAL_SESSION = 30, 0.5
"""The most kB of a call that waits, and the most of FastMCP's session."""

Begun = Callable[[], None]
Client = Callable[[httpx2.AsyncClient, int, Begun], Coroutine[Any, Any, None]]
"""Begins as the client of a number, says when that is done, and keeps what it has open until it is cancelled."""


async def connection(http: httpx2.AsyncClient, _: int, begun: Begun) -> None:
    """Connect, and ask whether the server is alive."""
    async with await anyio.connect_tcp(http.base_url.host, http.base_url.port or 80) as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await stream.receive()
        begun()
        await anyio.sleep_forever()


async def session(http: httpx2.AsyncClient, number: int, begun: Begun) -> None:
    """Open a session and make a call."""
    await _opened(http, number)
    begun()


async def session_with_stream(http: httpx2.AsyncClient, number: int, begun: Begun) -> None:
    """Open a session as most clients do: with a stream for what the server says by itself."""
    own = await _opened(http, number)
    async with http.stream("GET", PATH, headers={**own, "Accept": "text/event-stream"}) as stream:
        stream.raise_for_status()
        begun()
        await anyio.sleep_forever()


async def tenant(http: httpx2.AsyncClient, number: int, begun: Begun) -> None:
    """Make a call with a key of one's own."""
    await _ask(http, number, MODERN, {"X-Inkbox-API-Key": f"{KEY}{number}"})
    begun()


async def wait(http: httpx2.AsyncClient, number: int, begun: Begun) -> None:
    """Wait for a message in a mailbox that ten share."""
    begun()
    await http.post(PATH, json=waiting(MODERN, number, SHARED), headers=eras.headers(MODERN, WAITING))
    raise BenchmarkError("a wait ended before the memory was measured")


def waiting(era: Era, number: int, mailboxes: int, seconds: int = 50) -> Message:
    """Return a call that waits in one of some mailboxes."""
    address = f"client-{number % mailboxes}@inkboxmail.com"
    return call(era, WAITING, {"email_address": address, "timeout": seconds}, number)


async def _opened(http: httpx2.AsyncClient, number: int) -> dict[str, str]:
    """Open a session, make a call, and return the session's headers."""
    answer = (await http.post(PATH, json=INITIALIZE, headers=eras.COMMON)).raise_for_status()
    own = {SESSION: answer.headers[SESSION]}
    headers = {**eras.headers(LEGACY, TOOL), **own}
    (await http.post(PATH, json=INITIALIZED, headers=headers)).raise_for_status()
    await _ask(http, number, LEGACY, own)
    return headers


async def _ask(http: httpx2.AsyncClient, number: int, era: Era, own: dict[str, str]) -> None:
    address = f"client-{number}@inkboxmail.com"
    message = call(era, TOOL, {"email_address": address}, number)
    answer = await http.post(PATH, json=message, headers={**eras.headers(era, TOOL), **own})
    if f'"email_address":"{address}"' not in answer.text or '"isError":true' in answer.text:
        raise BenchmarkError(f"a call was answered {answer.text[:500]}")


async def growth(
    origin: str, memory: Callable[[], float], client: Client, count: int = COUNT, seconds: float = SECONDS_TO_SETTLE
) -> float:
    """Return the kB of memory that one more client takes."""
    seen: list[float] = []
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
    async with (
        httpx2.AsyncClient(base_url=origin, limits=limits, timeout=60) as http,
        anyio.create_task_group() as tasks,
    ):
        for numbers in (range(BEFORE), range(BEFORE, BEFORE + count)):
            turns = anyio.Semaphore(AT_ONCE)
            for number in numbers:
                await turns.acquire()
                tasks.start_soon(client, http, number, turns.release)
            for _ in range(AT_ONCE):
                await turns.acquire()
            await anyio.sleep(seconds)
            seen.append(memory())
        tasks.cancel_scope.cancel()
    return (seen[1] - seen[0]) * 1024 / count


def over_http(peer: Peer, client: Client, *options: str) -> float:
    """Start a server, and return the kB of memory that one more client takes.

    Raises:
        BenchmarkError: the server does not start, or an answer was wrong.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        upstream = stack.enter_context(inkbox_stub(directory))
        service = stack.enter_context(serving(peer, "sessions", upstream, directory, options))
        return anyio.run(growth, service.origin, lambda: service.memory, client)


def over_pipes(peer: Peer) -> float:
    """Start a server as a client on pipes does, and return the kB of memory that one more call takes that waits.

    Raises:
        BenchmarkError: the server does not start.
    """
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as name, inkbox_stub(Path(name)) as upstream:
        variables = {**environment(upstream, Path(name)), "INKBOX_MCP_MAX_WAITS": f"{BEFORE + COUNT}"}
        for is_recorded in (False, True):  # the first start makes a recording
            with started([peer.stdio[0]], variables, f"{name}/log") as server:
                server.shake_hands(all_tools=True)
                for numbers in (range(BEFORE), range(BEFORE, BEFORE + COUNT)) if is_recorded else ():
                    lines = [json.dumps(waiting(LEGACY, number, SHARED)) + "\n" for number in numbers]
                    server.write("".join(lines).encode())
                    time.sleep(SECONDS_TO_SETTLE)
                    seen.append(server.memory())
    return (seen[1] - seen[0]) * 1024 / COUNT


def report(workdir: Path) -> str:
    """Measure, and format the table."""
    mine, other = ours(), fastmcp(workdir)
    rows: list[list[str]] = []
    for name, client in {"a session": session, "a session with its stream": session_with_stream}.items():
        own, others = over_http(mine, client), over_http(other, client)
        goal = [f"≤ {GOAL_SESSION}"] if client is session else [""]
        rows.append([name, f"{own:.1f}", f"{others:.1f}", f"{own / others:.2f}", *goal])
    alone: dict[str, float] = {
        "a connection": over_http(mine, connection),
        "a call that waits": over_http(mine, wait, "--max-waits", f"{BEFORE + COUNT}"),
        "the same over pipes": over_pipes(mine),
        "one of many keys": over_http(mine, tenant, "--per-request-keys"),
    }
    for name, own in alone.items():
        goal = f"≤ {GOAL_WAIT}" if name in {"a call that waits", "the same over pipes"} else ""
        rows.append([name, f"{own:.1f}", "", "", goal])
    head = ["kB of memory", mine.name, other.name, "ratio", "goal"]
    return f"{machine()}; {mine.name} {mine.version}, {other.name} {other.version}\n\n{table(head, rows, words=1)}"


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--workdir", type=Path, default=CACHE, help=f"for the other server (default: {CACHE})")
    options = parser.parse_args()
    return run(lambda: sys.stdout.write(f"{report(options.workdir)}\n"))


if __name__ == "__main__":
    sys.exit(main())
