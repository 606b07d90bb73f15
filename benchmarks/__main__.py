"""Compare start-up, idle cost, latency, throughput, long lists and tokens with MCP servers that have the same tools.

Run with `python -m benchmarks`; see `benchmarks/README.md`.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import goals
from benchmarks.comparison import Comparison, Plan
from benchmarks.figures import machine, table
from benchmarks.goals import GOALS, Samples
from benchmarks.peers import Peer, fastmcp, loop, mcpserver, ours, typescript
from benchmarks.peers.environments import CACHE
from benchmarks.processes import BenchmarkError, require, run

FULL = Plan(rounds=8, starts=5, first_results=3, seconds=2)
QUICK = Plan(rounds=2, starts=2, first_results=1, seconds=1)


def compare(plan: Plan, workdir: Path, file: Path | None, chart: Path | None) -> None:
    """Measure, print the table, and write the files that were requested.

    Raises:
        BenchmarkError: a program is missing, or an answer was wrong.
    """
    for program in ("wrk", "nginx"):
        require(program)
    if chart:
        _drawing()
    peers = [ours(), mcpserver(), fastmcp(workdir), typescript(workdir), loop()]
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        comparison = Comparison(plan, peers, Path(directory), stack)
        comparison.run()
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers)
    sys.stdout.write(f"{machine()}; {versions}; {plan.rounds} rounds\n\n{report(comparison.samples)}\n")
    if file:
        file.write_text(json.dumps(as_json(peers, comparison.samples), indent=1) + "\n")
    if chart:
        _drawing()(comparison.samples, chart)


def report(samples: Samples) -> str:
    """Format the table, and below it how far the load generators were from their own limits."""
    head, *rows = goals.rows(samples)
    busy = max(series.median for (measure, _), series in samples.items() if measure == "client_busy")
    ceiling = samples["http_calls_per_second", "nginx"].median
    return (
        f"{table(head, rows, words=1)}\n\n"
        "± is half of the way between the quartiles; ratios are medians of those within a round;\n"
        "a goal in brackets would be better still.\n"
        f"The client on pipes takes at most {busy:.0%} of a processor; wrk gets {ceiling:.0f} calls/s from nginx."
    )


def as_json(peers: list[Peer], samples: Samples) -> dict[str, Any]:
    """Return the goals and all measurements of every round."""
    return {
        "machine": machine(),
        "versions": {peer.name: peer.version for peer in peers},
        "goals": [
            {"measure": goal.title, "of": goal.own, "compared_with": goal.other, "value": value, "goal": goal.bound}
            | {"met": goal.is_met(value)}
            for goal in GOALS
            for value in [goal.value(samples)]
        ],
        "measured": [
            {"measure": measure, "server": who, "values": series.values} for (measure, who), series in samples.items()
        ],
    }


def _drawing() -> Any:
    try:
        from benchmarks.chart import draw
    except ImportError as error:
        raise BenchmarkError(f"--chart: {error}; install the extra `benchmarks`") from None
    return draw


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK.rounds} short rounds, less than two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements to a file")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="also draw a chart, as FILE.png and FILE.svg")
    parser.add_argument("--workdir", type=Path, default=CACHE, help=f"for the other servers (default: {CACHE})")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    return run(lambda: compare(plan, options.workdir, options.json, options.chart))


if __name__ == "__main__":
    sys.exit(main())
