"""Ten jobs take few calls, few errors and few bytes, and end with a right answer."""

import json
import os
import re
from pathlib import Path

from tests.journeys.jobs import JOBS, Worker, do

COUNTS = Path(__file__).parent / "counts.json"
ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "answers.md"
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
MOST_CALLS, MOST_ERRORS = 26, 2


async def test_the_jobs_take_few_calls_errors_and_bytes(tmp_path: Path) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change; the table is in docs/answers.md, its sum in the README."""
    done = {name: await do(job, str(tmp_path / f"{number}.db")) for number, (name, job) in enumerate(JOBS.items())}
    counts = {name: {"calls": worker.calls, "errors": worker.errors} for name, worker in done.items()}
    assert sum(len(worker.calls) for worker in done.values()) <= MOST_CALLS
    assert sum(worker.errors for worker in done.values()) <= MOST_ERRORS
    now = json.dumps(counts, indent=2) + "\n"
    table, sentence = _table(done), _sentence(done)
    if UPDATE:
        COUNTS.write_text(now, encoding="utf-8")
        document = DOCUMENT.read_text(encoding="utf-8")
        replaced = re.sub(r"<!-- jobs -->.*?<!-- end -->", lambda _: table, document, flags=re.DOTALL)
        DOCUMENT.write_text(replaced, encoding="utf-8")
    assert COUNTS.read_text(encoding="utf-8") == now
    assert table in DOCUMENT.read_text(encoding="utf-8")
    assert sentence in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f}"


def _table(done: dict[str, Worker]) -> str:
    """Write the table. Answers differ by some bytes from run to run, which its unit hides."""
    rows = [
        (f"{name}: {JOBS[name].says}", str(len(worker.calls)), str(worker.errors), _kilobytes(worker.listed),
         _kilobytes(worker.read), _kilobytes(worker.whole))
        for name, worker in done.items()
    ]  # fmt: skip
    total = ("all", *(str(sum(int(row[column]) for row in rows)) for column in (1, 2)), *map(_kilobytes, _sums(done)))
    header = ("job", "calls", "errors", "tools, kB", "answers, kB", "answers with whole objects, kB")
    lines = [header, ("---", *("---:",) * 5), *rows, total]
    return "<!-- jobs -->\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "<!-- end -->"


def _sums(done: dict[str, Worker]) -> tuple[int, int, int]:
    return tuple(sum(getattr(worker, size) for worker in done.values()) for size in ("listed", "read", "whole"))  # pyright: ignore[reportReturnType]


def _sentence(done: dict[str, Worker]) -> str:
    """Write the README's claim."""
    calls, errors = sum(len(worker.calls) for worker in done.values()), sum(worker.errors for worker in done.values())
    _, read, whole = _sums(done)
    return (
        f"in [ten jobs](docs/answers.md) an agent makes {calls} calls with {errors} errors. It reads "
        f"{round(read / 1000)} kB of answers; with whole objects in lists it would read {round(whole / 1000)} kB"
    )
