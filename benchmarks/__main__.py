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
from benchmarks.figures import Series, machine, table
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
    written = as_json(peers, comparison.samples)
    sys.stdout.write(f"{_about(written)}; {plan.rounds} rounds\n\n{report(comparison.samples)}\n")
    if file:
        file.write_text(json.dumps(written, indent=1) + "\n")
    if chart:
        _drawing()(comparison.samples, chart)


def report(*runs: Samples) -> str:
    """Format the table of one run or several, and below it how far the load generators were from their own limits."""
    head, *rows = goals.rows(*runs)
    busy = max(series.median for run in runs for (measure, _), series in run.items() if measure == "client_busy")
    ceiling = min(run["http_calls_per_second", "nginx"].median for run in runs)
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


def show_worst(files: list[Path]) -> None:
    """Print the table of several runs. Each row is of the run in which it was worst.

    Args:
        files: as `--json` wrote them.

    Raises:
        BenchmarkError: the runs are of different versions or machines.
    """
    try:
        runs = [json.loads(file.read_text()) for file in files]
        about = sorted({_about(run) for run in runs})
        samples = [{(row["measure"], row["server"]): Series(row["values"]) for row in run["measured"]} for run in runs]
        shown = report(*samples)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BenchmarkError(f"--worst-of takes files that --json wrote: {error!r}") from None
    if len(about) > 1:
        raise BenchmarkError(f"--worst-of: these runs cannot be compared: {' | '.join(about)}")
    sys.stdout.write(f"{about[0]}; the worst of {len(runs)} runs\n\n{shown}\n")


def _about(written: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in written["versions"].items())
    return f"{written['machine']}; {versions}"


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
    parser.add_argument("--worst-of", type=Path, nargs="+", metavar="FILE", help="only print what --json wrote")
    parser.add_argument("--workdir", type=Path, default=CACHE, help=f"for the other servers (default: {CACHE})")
    options = parser.parse_args()
    if options.worst_of:
        return run(lambda: show_worst(options.worst_of))
    plan = QUICK if options.quick else FULL
    return run(lambda: compare(plan, options.workdir, options.json, options.chart))


if __name__ == "__main__":
    sys.exit(main())
