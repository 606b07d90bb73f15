"""Keep a real server busy on a failing network, and watch its memory.

Run with `python -m benchmarks.soak`; see `benchmarks/README.md`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.agents import KEY
from tests.support.faults import (
    BAD_GATEWAY_AFTER,
    BAD_GATEWAY_BEFORE,
    BUSY,
    CUT,
    DROPPED_AFTER,
    DROPPED_AND_LATE,
    DROPPED_BEFORE,
    FINE,
    GARBLED_AFTER,
    LIMITED,
    STALLED_AFTER,
    STALLED_BEFORE,
    Fault,
    FaultyInkbox,
    faulty_inkbox,
)

FAULTS = [
    BAD_GATEWAY_AFTER, BAD_GATEWAY_BEFORE, BUSY, CUT, DROPPED_AFTER, DROPPED_AND_LATE, DROPPED_BEFORE, GARBLED_AFTER,
    LIMITED, STALLED_AFTER, STALLED_BEFORE,
]  # fmt: skip
TIMEOUT = 3.0
"""Seconds that the server gives a call; a stalled request uses all of them."""
UNANSWERED = 30.0
"""Seconds after which a call counts as unanswered."""
EVERY = 10.0
MAX_GROWTH = 8.0
"""Allowed growth of resident memory after the warm-up, in MiB: an allocator may keep this much, a leak takes more."""
MAX_LINE = 1_000_000


@dataclass
class Server:
    """A server process, and the calls that wait for an answer."""

    process: Process
    answers: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    arrived: dict[int, anyio.Event] = field(default_factory=dict[int, anyio.Event])

    def __post_init__(self) -> None:
        self._ids = count(1)

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: no answer came.
        """
        number = next(self._ids)
        self.arrived[number] = anyio.Event()
        try:
            await self.send({"id": number, "method": method, "params": params})
            with anyio.fail_after(UNANSWERED):
                await self.arrived[number].wait()
            return self.answers.pop(number)
        finally:
            del self.arrived[number]

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message to the server's stdin."""
        assert self.process.stdin  # noqa: S101 - a pipe was asked for
        await self.process.stdin.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def listen(self) -> None:
        """Pass the server's answers to the waiting calls until the server ends."""
        assert self.process.stdout  # noqa: S101 - a pipe was asked for
        stdout = BufferedByteReceiveStream(self.process.stdout)
        while True:
            try:
                answer = json.loads(await stdout.receive_until(b"\n", MAX_LINE))
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
                return
            if arrived := self.arrived.get(answer.get("id")):
                self.answers[answer["id"]] = answer
                arrived.set()

    def memory(self) -> float:
        """Return the resident memory of the process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@asynccontextmanager
async def start_server(url: str) -> AsyncGenerator[Server]:
    """Start a server as a client does, and end it even after an error."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "INKBOX_API_KEY": KEY, "INKBOX_BASE_URL": url}
        command = [sys.executable, "-m", "inkbox_mcp", "--log-level", "error", "--timeout", str(TIMEOUT)]
        process = await anyio.open_process(command, stderr=subprocess.DEVNULL, env=environment)
        server = Server(process)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.listen)
                client = {"name": "soak", "version": "1"}
                await server.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
                await server.send({"method": "notifications/initialized"})
                yield server
                tasks.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()


@dataclass
class Soak:
    """A running soak: the server, the time of its end, and the outcomes so far."""

    server: Server
    ends: float
    seen: Counter[str] = field(default_factory=Counter[str])

    async def call(self, tool: str, **arguments: str) -> str:
        """Make a call, count its outcome and return it: `ok`, an error's code, `protocol error` or `no answer`."""
        try:
            answer = await self.server.request("tools/call", name=tool, arguments=arguments)
        except TimeoutError:
            outcome = "no answer"
        else:
            result = answer.get("result")
            outcome = "protocol error" if result is None else result.get("_meta", {}).get("code", "ok")
        self.seen[outcome] += 1
        return outcome

    async def live(self, agent: int) -> None:
        """Act as an agent: create, use and delete one mailbox after the other until the time is up."""
        for number in count():
            local_part = f"soak-{agent}-{number}"
            await self.call("create_mailbox", agent_handle=_handle(agent), email_local_part=local_part)
            await self.call("get_mailbox", email_address=local_part)
            await self.call("list_mailboxes")
            await self.call("update_mailbox", email_address=local_part, display_name=f"Soak {number}")
            while await self.call("delete_mailbox", email_address=local_part) not in {"ok", "not_found", "no answer"}:
                pass  # an agent has only one mailbox, so this one must be deleted first
            if anyio.current_time() >= self.ends:
                return

    @property
    def calls(self) -> int:
        """The number of finished calls."""
        return self.seen.total()


async def watch(soak: Soak, inkbox: FaultyInkbox, seconds: float) -> list[float]:
    """Print a line every few seconds, and return the memory at each line."""
    memories = [soak.server.memory()]
    started = before = anyio.current_time()
    calls = 0
    while anyio.current_time() < soak.ends:
        await anyio.sleep(min(EVERY, max(soak.ends - anyio.current_time(), 0.1)))
        inkbox.requests.clear()
        inkbox.served.clear()
        now = anyio.current_time()
        memories.append(soak.server.memory())
        rate = (soak.calls - calls) / (now - before)
        say(f"{now - started:4.0f}/{seconds:.0f} s  {soak.calls:7} calls  {rate:5.0f}/s  {memories[-1]:6.1f} MiB")
        before, calls = now, soak.calls
    return memories


async def soak(seconds: float, in_flight: int, faults: float) -> bool:
    """Run a soak and print its results; return whether it passed."""
    chance = random.Random()  # noqa: S311 - faults are no secret

    def usual() -> Fault:
        return chance.choice(FAULTS) if chance.random() < faults else FINE

    async with faulty_inkbox() as inkbox:
        for agent in range(in_flight):
            await inkbox.create("/api/v1/identities", KEY, agent_handle=_handle(agent))
        async with start_server(inkbox.url) as server:
            at_start = server.memory()
            inkbox.usual = usual
            run = Soak(server, anyio.current_time() + seconds)
            memories: list[float] = []

            async def observe() -> None:
                memories.extend(await watch(run, inkbox, seconds))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(observe)
                for agent in range(in_flight):
                    tasks.start_soon(run.live, agent)
            return report(run, seconds, [at_start, *memories, server.memory()])


def report(run: Soak, seconds: float, memories: list[float]) -> bool:
    """Print the results of a soak; return whether it passed."""
    at_start, at_end = memories[0], memories[-1]
    warm = memories[2 + len(memories) // 4] if len(memories) > 4 else memories[-2]
    say(f"\ncalls            {run.calls}, {run.calls / seconds:.0f}/s")
    for outcome, number in run.seen.most_common():
        say(f"  {outcome:20} {number:7}  {number / run.calls:6.2%}")
    say(f"memory at start  {at_start:.1f} MiB, warm {warm:.1f}, at the end {at_end:.1f}")
    grown, lost = at_end - warm > MAX_GROWTH, run.seen["no answer"] + run.seen["protocol error"]
    say(f"growth           {at_end - warm:+.1f} MiB since the warm-up, {MAX_GROWTH:.0f} allowed")
    say("FAILED" if grown or lost else "all is well")
    return not grown and not lost


def _handle(agent: int) -> str:
    return f"agent-{agent}"


def say(line: str) -> None:
    """Print a line and flush stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long (default: 300)")
    parser.add_argument("--in-flight", type=int, default=64, help="calls under way at once (default: 64)")
    parser.add_argument("--faults", type=float, default=0.05, help="part of the requests that fail (default: 0.05)")
    options = parser.parse_args()
    return 0 if anyio.run(soak, options.seconds, options.in_flight, options.faults) else 1


if __name__ == "__main__":
    sys.exit(main())
