"""The cost of waiting for messages: `python -m benchmarks.waits` takes a minute and a half.

The server and an Inkbox that answers at once are in this process, without sockets. Ten waits share a mailbox.
"""

import argparse
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from statistics import median
from typing import Any

import anyio
import httpx2

from benchmarks.faked import SETTINGS
from benchmarks.figures import machine, table
from benchmarks.peers import KEY
from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.api.polling import PACE
from inkbox_mcp.service import Service

SHARING = 10
"""Waits for each mailbox."""
MOST_BYTES = 30_000
"""The goal for the memory of a wait."""
SLACK = 0.05
"""Seconds beyond half of the pause between two polls: the goal for the median delay of an answer."""
SHUFFLE = 7
"""Has no divisor with the number of arrivals in common."""
SETTLED = sum(PACE) + 0.1
"""Seconds until the pauses between the polls are the longest ones."""


def row(number: int) -> dict[str, Any]:
    """Return a message as the API lists it, created now."""
    return {
        "id": f"aaaa1111-2222-4333-8444-{number:012}",
        "thread_id": f"bbbb1111-2222-4333-8444-{number:012}",
        "from_address": "noreply@example.com",
        "to_addresses": ["sales@inkboxmail.com"],
        "subject": f"Message {number}",
        "snippet": "Hello there. " * 15,
        "direction": "inbound",
        "is_read": True,
        "created_at": datetime.now(UTC).isoformat(),
    }


class Mailboxes(httpx2.AsyncBaseTransport):
    """Answers at once: ten older messages in each mailbox, and those that have arrived.

    Attributes:
        asked: the number of requests.
        arrived: the number of the message that has arrived, by mailbox.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.arrived: dict[str, dict[str, Any]] = {}
        self._older = [row(number) for number in range(10)]
        self._usual = self._page(self._older)

    def _page(self, rows: list[dict[str, Any]]) -> bytes:
        return json.dumps({"items": rows, "next_cursor": None, "has_more": False}).encode()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        self.asked += 1
        mailbox, _, rest = request.url.path.partition("/mailboxes/")[2].partition("/")
        arrived = self.arrived.get(mailbox)
        if rest.startswith("messages/"):
            body = json.dumps({**(arrived or {}), "body_text": "Your code is 482913."}).encode()
        elif rest == "threads":
            body = self._page([])
        else:
            body = self._page([arrived, *self._older[:9]]) if arrived else self._usual
        return httpx2.Response(200, headers={"Content-Type": "application/json"}, content=body)


async def wait(service: Service, number: int, seconds: int, subject: str) -> bool:
    """Wait in a mailbox; return whether a message was found.

    Raises:
        AssertionError: the call failed.
    """
    operation = service.catalogues.of("spec").tools["wait_for_message"]
    arguments = {"email_address": f"box-{number}", "timeout": seconds, "subject": subject}
    answer = await service.call(operation, arguments, LOCAL)
    if answer.data is None:
        raise AssertionError(answer)
    return not answer.data["timed_out"]


async def side_by_side(count: int, call: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Make calls side by side."""
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(call, number)


async def cost(count: int, seconds: int) -> tuple[float, float, float]:
    """Return the requests of waits that find nothing, their processor time, and that of the same requests alone.

    All are per minute, the times in milliseconds.
    """
    inkbox = Mailboxes()
    service = Service(SETTINGS, lambda: inkbox)
    gc.collect()
    used = time.process_time()
    await side_by_side(count, lambda number: wait(service, number // SHARING, seconds, "no such"))
    used, asked = time.process_time() - used, inkbox.asked
    async with httpx2.AsyncClient(transport=inkbox, headers={"X-API-Key": KEY}) as http:
        alone = time.process_time()
        for number in range(asked):
            url = f"http://inkbox/api/v1/mail/mailboxes/box-{number}/messages"
            (await http.get(url, params={"direction": "inbound", "limit": 10})).json()
        alone = time.process_time() - alone
    scale = 60 / seconds
    return asked * scale, used * scale * 1000, alone * scale * 1000


async def memory(count: int) -> float:
    """Return the bytes of a wait that pauses."""
    inkbox = Mailboxes()
    service = Service(SETTINGS, lambda: inkbox)
    await wait(service, 0, 0, "no such")
    gc.collect()
    tracemalloc.start()
    held = 0
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(wait, service, number // SHARING, 50, "no such")
        await anyio.sleep(SETTLED)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tasks.cancel_scope.cancel()
    tracemalloc.stop()
    return held / count


async def delay(count: int) -> list[float]:
    """Return the seconds from each arrival to its answer.

    The calls begin one after another, and the arrivals are spread evenly over the pause between two polls.
    """
    inkbox, delays = Mailboxes(), list[float]()
    service = Service(SETTINGS, lambda: inkbox)

    async def arrive(number: int) -> None:
        await anyio.sleep(PACE[-1] * number / count)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answered, number)
            await anyio.sleep(SETTLED + PACE[-1] * (number * SHUFFLE % count) / count)
            inkbox.arrived[f"box-{number}"] = row(1000 + number)
            arrived[number] = time.perf_counter()

    async def answered(number: int) -> None:
        if await wait(service, number, 25, f"Message {1000 + number}"):
            delays.append(time.perf_counter() - arrived[number])

    arrived: dict[int, float] = {}
    await side_by_side(count, arrive)
    if len(delays) != count:
        raise AssertionError(f"{count - len(delays)} messages were not found")
    return delays


async def measure(seconds: int) -> str:
    """Measure, and return the table and the two numbers below it."""
    rows: list[list[str]] = []
    for count in (1, 100, 1000):
        asked, used, alone = await cost(count, seconds)
        mailboxes = -(-count // SHARING)
        rows.append([f"{count}", f"{mailboxes}", f"{asked:.0f}", f"{used:.0f}", f"{alone:.0f}", f"{used / alone:.1f}"])
    head = ["waits", "mailboxes", "requests/min", "ms/min", "HTTPX2 alone, ms/min", "ratio"]
    held, middle = await memory(1000), median(await delay(300))
    goal = PACE[-1] / 2 + SLACK
    return (
        f"{table(head, rows)}\n\n"
        f"memory of a wait: {held / 1000:.1f} kB (goal: ≤ {MOST_BYTES / 1000:.0f} kB)\n"
        f"from arrival to answer: median {middle:.2f} s (goal: ≤ {goal:.2f} s)"
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="that each wait takes, 1 to 50 (default: 20)")
    measured = anyio.run(measure, parser.parse_args().seconds)
    sys.stdout.write(f"{machine()}\n\n{measured}\n")


if __name__ == "__main__":
    main()
