"""Measure streamable HTTP serving beside the same tools made with FastMCP.

Run with `python -m benchmarks.http`; see `benchmarks/README.md`.
"""

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import eras
from benchmarks.agreement import compare_answers
from benchmarks.deployments import COPIES, Service, Shape, serving
from benchmarks.eras import LEGACY, MODERN, Era
from benchmarks.figures import Series, machine, table
from benchmarks.peers import CACHE, Peer, fastmcp, ours
from benchmarks.processes import BenchmarkError, require
from benchmarks.stub import ECHO, inkbox_stub
from benchmarks.wrk import Measured, Target, load

TOOL = "get_mailbox"


@dataclass(frozen=True)
class Scenario:
    """Clients of an era, and the shape of the server that they call."""

    title: str
    era: Era
    shape: Shape


SCENARIOS = [
    Scenario("2026-07-28, one process", MODERN, "sessions"),
    Scenario("2025-11-25 with sessions, one process", LEGACY, "sessions"),
    Scenario("2025-11-25 without sessions, one process", LEGACY, "stateless"),
    Scenario(f"2026-07-28, {COPIES} replicas behind HAProxy", MODERN, "replicas"),
    Scenario(f"2025-11-25 without sessions, {COPIES} replicas behind HAProxy", LEGACY, "replicas"),
]
WORKERS = [
    Scenario(f"2026-07-28, {COPIES} workers on one port", MODERN, "workers"),
    Scenario(f"2025-11-25 without sessions, {COPIES} workers on one port", LEGACY, "workers"),
]


@dataclass(frozen=True)
class Plan:
    """How much is measured: every scenario with every number of clients, for some seconds in each round."""

    scenarios: list[Scenario]
    clients: list[int]
    rounds: int
    seconds: int


Cell = tuple[Scenario, int, str]
"""What has a series: a scenario, a number of clients, a peer's name."""
Memory = dict[str, tuple[float, float]]
"""MiB by server: before it was measured, and after."""


@dataclass
class Results:
    """What a run showed; the ceiling is what wrk gets out of nginx alone."""

    plan: Plan
    peers: list[Peer]
    ceiling: Measured
    series: dict[Cell, Series]
    memory: Memory


def measure(plan: Plan, peers: list[Peer]) -> Results:
    """Start all servers in all shapes, measure them in turns, and end them.

    Raises:
        BenchmarkError: something is missing, or an answer was wrong.
    """
    shapes: list[Shape] = list(dict.fromkeys(scenario.shape for scenario in plan.scenarios))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        stub = stack.enter_context(inkbox_stub(directory))
        services: list[Service] = []
        for shape, peer in product(shapes, peers):
            say(f"starting {peer.name} {peer.version}, {shape}")
            services.append(stack.enter_context(serving(peer, shape, stub, directory)))
        compare_answers([service for service in services if service.shape == "sessions"])
        at_start = [service.memory for service in services]
        ceiling = load(ceiling_target(stub), 64, plan.seconds)
        say(f"nginx answers wrk directly {ceiling.calls_per_second:.0f} times a second")
        series = take_turns(plan, services, directory)
        memory = {
            f"{service.peer.name}, {service.shape}": (before, service.memory)
            for service, before in zip(services, at_start, strict=True)
        }
        return Results(plan, peers, ceiling, series, memory)


def take_turns(plan: Plan, services: list[Service], directory: Path) -> dict[Cell, Series]:
    """Measure the peers one right after the other, again in each round; the first to go changes."""
    targets = {
        (scenario, service.peer.name): target(scenario, service, max(plan.clients), directory)
        for scenario, service in product(plan.scenarios, services)
        if service.shape == scenario.shape
    }
    for warmed in targets.values():
        load(warmed, 16, 1)
    peers = list(dict.fromkeys(service.peer.name for service in services))
    series: dict[Cell, Series] = {}
    for number, scenario, clients in product(range(plan.rounds), plan.scenarios, plan.clients):
        for peer in peers if number % 2 else reversed(peers):
            measured = load(targets[scenario, peer], clients, plan.seconds)
            series.setdefault((scenario, clients, peer), Series()).rounds.append(measured)
            said = f"round {number + 1}/{plan.rounds}  {scenario.title}  {clients:3} clients"
            say(f"{said}  {peer}: {measured.calls_per_second:.0f}/s, p50 {measured.p50:.2f} ms")
    return series


def target(scenario: Scenario, service: Service, clients: int, directory: Path) -> Target:
    """Say how a scenario's clients call a server; where they need sessions, open one for each."""
    name = f"{service.peer.name}, {scenario.title}"
    sessions = None
    if scenario.era == LEGACY and scenario.shape == "sessions":
        sessions = directory / f"{service.peer.name}.sessions"
        sessions.write_text("\n".join(eras.open_sessions(service.origin, clients)))
    headers = eras.headers(scenario.era, TOOL)
    return Target(name, service.origin, eras.PATH, template(scenario.era), headers, sessions)


def ceiling_target(stub: str) -> Target:
    """Say how nginx is called where it stands in for a server, to see what wrk can do."""
    return Target("nginx", stub, f"{ECHO}/%d/%s", template(MODERN), eras.headers(MODERN, TOOL))


def template(era: Era) -> str:
    """Write a call's body with places for its id and for its mailbox."""
    body = eras.body(era, TOOL, {"email_address": "%s"})
    return json.dumps({**body, "id": "%d"}, separators=(",", ":")).replace('"%d"', "%d")


def report(results: Results) -> str:
    """Write the tables of a run."""
    plan, (first, second) = results.plan, results.peers
    parts = [f"{machine()}; {', '.join(f'{peer.name} {peer.version}' for peer in results.peers)}"]
    head = ["clients"]
    for peer in results.peers:
        head += [f"{peer.name} calls/s", "p50 ms", "p99 ms"]
    head += ["calls/s", "p50", "p99"]
    for scenario in plan.scenarios:
        rows: list[list[str]] = []
        for clients in plan.clients:
            one, other = (results.series[scenario, clients, peer.name] for peer in (first, second))
            rows.append([str(clients), *_cells(one), *_cells(other), *_ratios(one, other)])
        parts.append(f"{scenario.title}\n{table(head, rows)}")
    parts.append(f"The last three columns: {first.name} as a multiple of {second.name}, the median over the rounds.")
    memory = [[name, f"{before:.0f}", f"{after:.0f}"] for name, (before, after) in results.memory.items()]
    parts.append(table(["memory in MiB", "before", "after"], memory))
    parts.append(f"wrk alone, on nginx with 64 clients: {results.ceiling.calls_per_second:.0f} calls/s")
    return "\n\n".join(parts)


def _cells(series: Series) -> list[str]:
    rate = f"{series.median('calls_per_second'):.0f} ±{series.spread('calls_per_second'):3.0%}"
    return [rate, f"{series.median('p50'):.2f}", f"{series.median('p99'):.2f}"]


def _ratios(one: Series, other: Series) -> list[str]:
    return [f"{one.ratio(other, metric):.2f} x" for metric in ("calls_per_second", "p50", "p99")]


def as_json(results: Results) -> dict[str, Any]:
    """Return everything that was measured, a round at a time."""
    return {
        "machine": machine(),
        "versions": {peer.name: peer.version for peer in results.peers},
        "seconds": results.plan.seconds,
        "wrk_on_nginx": asdict(results.ceiling),
        "measured": [
            {
                "scenario": scenario.title,
                "clients": clients,
                "server": peer,
                "rounds": [asdict(measured) for measured in series.rounds],
            }
            for (scenario, clients, peer), series in results.series.items()
        ],
        "memory_mib": {name: {"before": before, "after": after} for name, (before, after) in results.memory.items()},
    }


def say(line: str) -> None:
    """Tell on stderr how far it is."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second with 1 and 64 clients")
    parser.add_argument("--workers", action="store_true", help=f"also {COPIES} worker processes on one port")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64, 256], help="default: 1 16 64 256")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements to a file")
    parser.add_argument("--workdir", type=Path, default=CACHE, help=f"for FastMCP's environment (default: {CACHE})")
    options = parser.parse_args()
    scenarios = SCENARIOS + (WORKERS if options.workers else [])
    plan = Plan(scenarios, options.clients, options.rounds, options.seconds)
    if options.quick:
        plan = Plan(scenarios, [1, 64], 2, 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended on the way out
    try:
        for program in ("wrk", "nginx", "haproxy"):
            require(program)
        results = measure(plan, [ours(), fastmcp(options.workdir)])
    except BenchmarkError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(report(results) + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
