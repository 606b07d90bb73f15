"""Compare streamable HTTP serving with the same tools made with FastMCP.

Run with `python -m benchmarks.http`; see `benchmarks/README.md`.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.agreement import compare_answers
from benchmarks.deployments import Service, Shape, serving
from benchmarks.figures import Series, machine, table
from benchmarks.peers import Peer, fastmcp, ours
from benchmarks.peers.environments import CACHE
from benchmarks.processes import require, run, say
from benchmarks.scenarios import SCENARIOS, Scenario, ceiling_target, target
from benchmarks.stub import inkbox_stub
from benchmarks.wrk import Measured, load


@dataclass(frozen=True)
class Plan:
    """The extent of a run: each round measures every scenario with every number of clients for some seconds."""

    scenarios: list[Scenario]
    clients: list[int]
    rounds: int
    seconds: int


Cell = tuple[Scenario, int, str]
"""One measurement of each round: a scenario, a number of clients, and the name of a server."""
METRICS = ("calls_per_second", "p50", "p99")
Memory = dict[str, tuple[float, float]]
"""MiB by server, before and after the measurements."""


@dataclass
class Results:
    """The results of a run; the ceiling is the rate of wrk with nginx alone."""

    plan: Plan
    peers: list[Peer]
    ceiling: Measured
    measured: dict[Cell, list[Measured]]
    memory: Memory

    def series(self, cell: Cell, metric: str) -> Series:
        """Return one metric of a cell, one value for each round."""
        return Series([getattr(measured, metric) for measured in self.measured[cell]])


def measure(plan: Plan, peers: list[Peer]) -> Results:
    """Start all servers in all shapes, measure them in turns, and end them.

    Raises:
        BenchmarkError: a program is missing, or an answer was wrong.
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
        measured = take_turns(plan, services, directory)
        memory = {
            f"{service.peer.name}, {service.shape}": (before, service.memory)
            for service, before in zip(services, at_start, strict=True)
        }
        return Results(plan, peers, ceiling, measured, memory)


def take_turns(plan: Plan, services: list[Service], directory: Path) -> dict[Cell, list[Measured]]:
    """Measure the servers in turns, and reverse their order in every second round."""
    targets = {
        (scenario, service.peer.name): target(scenario, service, max(plan.clients), directory)
        for scenario, service in product(plan.scenarios, services)
        if service.shape == scenario.shape
    }
    for warmed in targets.values():
        load(warmed, 16, 1)
    peers = list(dict.fromkeys(service.peer.name for service in services))
    rounds: dict[Cell, list[Measured]] = {}
    for number, scenario, clients in product(range(plan.rounds), plan.scenarios, plan.clients):
        for peer in peers if number % 2 else reversed(peers):
            measured = load(targets[scenario, peer], clients, plan.seconds)
            rounds.setdefault((scenario, clients, peer), []).append(measured)
            said = f"round {number + 1}/{plan.rounds}  {scenario.title}  {clients:3} clients"
            say(f"{said}  {peer}: {measured.calls_per_second:.0f}/s, p50 {measured.p50:.2f} ms")
    return rounds


def report(results: Results) -> str:
    """Format the tables of a run."""
    plan, (first, second) = results.plan, results.peers
    parts = [f"{machine()}; {', '.join(f'{peer.name} {peer.version}' for peer in results.peers)}"]
    head = ["clients"]
    for peer in results.peers:
        head += [f"{peer.name} calls/s", "p50 ms", "p99 ms"]
    head += ["calls/s", "p50", "p99"]
    for scenario in plan.scenarios:
        rows: list[list[str]] = []
        for clients in plan.clients:
            cells = [(scenario, clients, peer.name) for peer in (first, second)]
            one, other = ([results.series(cell, metric) for metric in METRICS] for cell in cells)
            ratios = [f"{own.ratio(others):.2f} x" for own, others in zip(one, other, strict=True)]
            rows.append([str(clients), *_cells(*one), *_cells(*other), *ratios])
        parts.append(f"{scenario.title}\n{table(head, rows)}")
    parts.append(f"The last three columns: {first.name} as a multiple of {second.name}, the median over the rounds.")
    memory = [[name, f"{before:.0f}", f"{after:.0f}"] for name, (before, after) in results.memory.items()]
    parts.append(table(["memory in MiB", "before", "after"], memory))
    parts.append(f"wrk alone, on nginx with 64 clients: {results.ceiling.calls_per_second:.0f} calls/s")
    return "\n\n".join(parts)


def _cells(rate: Series, p50: Series, p99: Series) -> list[str]:
    return [f"{rate.median:.0f} ±{rate.deviation:3.0%}", f"{p50.median:.2f}", f"{p99.median:.2f}"]


def as_json(results: Results) -> dict[str, Any]:
    """Return all measurements of every round."""
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
                "rounds": [asdict(measured) for measured in rounds],
            }
            for (scenario, clients, peer), rounds in results.measured.items()
        ],
        "memory_mib": {name: {"before": before, "after": after} for name, (before, after) in results.memory.items()},
    }


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second with 1 and 64 clients")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64, 256], help="default: 1 16 64 256")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements to a file")
    parser.add_argument("--workdir", type=Path, default=CACHE, help=f"for FastMCP's environment (default: {CACHE})")
    options = parser.parse_args()
    plan = Plan(SCENARIOS, options.clients, options.rounds, options.seconds)
    if options.quick:
        plan = Plan(SCENARIOS, [1, 64], 2, 1)
    return run(lambda: _compare(plan, options.workdir, options.json))


def _compare(plan: Plan, workdir: Path, file: Path | None) -> None:
    for program in ("wrk", "nginx", "haproxy"):
        require(program)
    results = measure(plan, [ours(), fastmcp(workdir)])
    sys.stdout.write(report(results) + "\n")
    if file:
        file.write_text(json.dumps(as_json(results), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
