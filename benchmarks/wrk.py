"""The load: `wrk` with N connections is N clients, each of which calls again as soon as it is answered."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError, output, require

SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT = 10
"""Seconds after which a call counts as lost."""


@dataclass(frozen=True)
class Target:
    """What is called, and how.

    Attributes:
        name: what it is called in messages.
        origin: such as `http://127.0.0.1:8000`.
        path: a template, see `wrk.lua`.
        body: a template, see `wrk.lua`.
        headers: sent with every call.
        sessions: a file with a session's id on each line; each client uses one.
    """

    name: str
    origin: str
    path: str
    body: str
    headers: dict[str, str]
    sessions: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What one measurement showed: right answers per second, and their latencies in milliseconds."""

    calls_per_second: float
    p50: float
    p99: float


def load(target: Target, clients: int, seconds: int) -> Measured:
    """Keep clients calling for a while.

    Raises:
        BenchmarkError: an answer was wrong or did not come, so the others are not worth counting.
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
