"""Generate load with `wrk`: each of its connections acts as a client that calls again after each answer."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError, output, require

SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT = 10
"""Seconds after which a call counts as lost."""


@dataclass(frozen=True)
class Target:
    """The destination and content of calls.

    Attributes:
        name: the name in messages.
        origin: the origin of the URL, such as `http://127.0.0.1:8000`.
        path: a template, see `wrk.lua`.
        body: a template, see `wrk.lua`.
        headers: the headers of every call.
        sessions: a file with one session id per line, for one client each.
    """

    name: str
    origin: str
    path: str
    body: str
    headers: dict[str, str]
    sessions: Path | None = None


@dataclass(frozen=True)
class Measured:
    """The result of one measurement: correct answers per second, and latencies in milliseconds."""

    calls_per_second: float
    p50: float
    p99: float


def load(target: Target, clients: int, seconds: int) -> Measured:
    """Let clients call for some seconds, and measure them.

    Raises:
        BenchmarkError: an answer was wrong or missing, so the other answers do not count.
    """
    headers = [f"{name}: {value}" for name, value in target.headers.items()]
    script = [str(target.sessions or "-"), target.path, target.body, *headers]
    command = [require("wrk"), "-t1", f"-c{clients}", f"-d{seconds}s", f"--timeout={TIMEOUT}s", f"-s{SCRIPT}"]
    written = output([*command, target.origin, "--", *script], seconds + 2 * TIMEOUT)
    seen = json.loads(written.rpartition("\n")[2])
    if not seen["answers"]:
        raise BenchmarkError(f"{target.name}, {clients} clients: no answer within {seconds} s; try more --seconds")
    if seen["wrong"] or seen["lost"]:
        counts = f"{seen['answers']} answers, {seen['wrong']} wrong, {seen['lost']} lost"
        raise BenchmarkError(f"{target.name}, {clients} clients: {counts}. {seen['example']}".strip())
    return Measured(seen["answers"] / seen["seconds"], seen["p50_ms"], seen["p99_ms"])
