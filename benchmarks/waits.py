"""The processor time of waiting for messages, beside the bare requests: `python -m benchmarks.waits` takes 3 minutes.

This server, started as clients do, gets calls that wait for mail that does not come. At the same time another process
asks the same Inkbox with HTTPX2 and nothing else, as often as one of the waits of each mailbox needs it.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2

from benchmarks.client import Server, started
from benchmarks.figures import Series, machine, table
from benchmarks.memory import waiting
from benchmarks.messages import ADDRESS, LEGACY, call
from benchmarks.peers import KEY, environment, ours
from benchmarks.processes import BenchmarkError, run
from benchmarks.stub import ROUTE, inkbox_stub
from inkbox_mcp.api.polling import PACE

SIZES = ((1, 1), (40, 40), (400, 40))
"""Numbers of waits, and of mailboxes that share them."""
ROUNDS, SECONDS = 2, 25
"""Of each size, and the seconds of each round."""
WARM_UP = 50
"""Requests of each process that do not count."""
GOAL = 2
"""The most of the bare requests' time that a wait in a mailbox of its own may take."""
_ROOT = Path(__file__).parent.parent


def used(pid: int | str = "self") -> float:
    """Return the milliseconds of processor time that all threads of a process have used; default: of this one."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


async def poll(origin: str, mailboxes: int, seconds: int) -> None:
    """Wait for a line, ask for the messages of some mailboxes as often as waits do, and write the requests and ms."""
    asked = 0

    async def ask(number: int) -> None:
        nonlocal asked
        where = f"{ROUTE}/client-{number}@inkboxmail.com/messages"
        (await http.get(where, params={"direction": "inbound", "limit": 10})).raise_for_status().json()
        asked += 1

    async def follow(number: int) -> None:
        loop = asyncio.get_running_loop()
        due, looks = loop.time(), 0
        end = due + seconds
        while due < end:
            await asyncio.sleep(due - loop.time())
            await ask(number)
            due, looks = due + PACE[min(looks, len(PACE) - 1)], looks + 1

    async with httpx2.AsyncClient(base_url=origin, headers={"X-API-Key": KEY}) as http:
        for _ in range(WARM_UP):
            await ask(0)
        gc.freeze()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        asked, before = 0, used()
        await asyncio.gather(*map(follow, range(mailboxes)))
        sys.stdout.write(f"{json.dumps([asked, used() - before])}\n")


def side_by_side(server: Server, origin: str, waits: int, mailboxes: int, seconds: int) -> tuple[float, int, float]:
    """Return the ms of a wait, the requests for a mailbox and their ms.

    Raises:
        BenchmarkError: a wait failed, or the other process did.
    """
    command = [sys.executable, "-m", "benchmarks.waits", "--poll", origin, str(mailboxes), str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT) as other:  # noqa: S603 - our own
        try:
            assert other.stdin  # noqa: S101 - pipes were asked for
            assert other.stdout  # noqa: S101 - pipes were asked for
            if other.stdout.readline() != "ready\n":
                raise BenchmarkError("the requests with HTTPX2 failed")
            before = used(server.pid)
            other.stdin.write("\n")
            other.stdin.flush()
            calls = [waiting(LEGACY, number, mailboxes, seconds) for number in range(1000, 1000 + waits)]
            answered = server.ask_all(calls)
            own = used(server.pid) - before
            asked, alone = json.loads(other.stdout.readline())
        finally:
            other.kill()
    if wrong := [result for result in answered if not result.get("structuredContent", {}).get("timed_out")]:
        raise BenchmarkError(f"a wait was answered {wrong[0]}"[:500])
    return own / waits, asked // mailboxes, alone / mailboxes


def measure() -> list[list[str]]:
    """Return the rows of the table."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name, inkbox_stub(Path(name)) as origin:
        variables = {**environment(origin, Path(name)), "INKBOX_MCP_MAX_WAITS": "1000"}
        for waits, mailboxes in SIZES:
            own, alone, requests = Series(), Series(), 0
            for _ in range(ROUNDS):
                with started(ours().stdio[:1], variables, f"{name}/log") as server:
                    server.shake_hands(all_tools=True)
                    for number in range(WARM_UP):
                        server.request(call(LEGACY, "get_mailbox", {"email_address": ADDRESS}, number + 2))
                    mine, requests, others = side_by_side(server, origin, waits, mailboxes, SECONDS)
                own.values.append(mine)
                alone.values.append(others)
            ratio, goal = own.ratio(alone), f"≤ {GOAL}" if waits == mailboxes else ""
            shown = [f"{own.median:.1f}", f"{requests}", f"{alone.median:.1f}", f"{ratio:.2f}", goal]
            rows.append([f"{waits}", f"{mailboxes}", *shown])
    return rows


def report() -> str:
    """Measure, and format the table."""
    head = ["waits", "mailboxes", "ms a wait", "requests for a mailbox", "with HTTPX2 alone, ms", "ratio", "goal"]
    return f"{machine()}; {ROUNDS} rounds of {SECONDS} s\n\n{table(head, measure())}"


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description=__doc__)
    parser.add_argument("--poll", nargs=3, metavar=("ORIGIN", "MAILBOXES", "SECONDS"), help=argparse.SUPPRESS)
    if given := parser.parse_args().poll:
        asyncio.run(poll(given[0], int(given[1]), int(given[2])))
        return 0
    return run(lambda: sys.stdout.write(f"{report()}\n"))


if __name__ == "__main__":
    sys.exit(main())
