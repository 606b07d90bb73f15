"""How measurements become the output of a benchmark: numbers, goals, tables and charts."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent.parent))  # benchmarks are not installed

from benchmarks.__main__ import as_json, report, show_worst
from benchmarks.agreement import agree
from benchmarks.figures import Series, table
from benchmarks.goals import FASTMCP, GOALS, OURS, Samples, rows
from benchmarks.messages import INITIALIZE, LEGACY, MODERN, Era, Message, call, template
from benchmarks.peers import loop
from benchmarks.processes import BenchmarkError

HEAD = ["measure", OURS, "±", "compared with", "", "±", "ratio", "goal", "met"]


def samples(measure: str = "", own: float = 1) -> Samples:
    """Make all samples that goals and the report need. Each value is 1, except one measure of this server."""
    keys = {key for goal in GOALS for key in (goal.own, goal.other) if key}
    keys |= {("client_busy", OURS), ("http_calls_per_second", "nginx")}
    return {key: Series([own if key == (measure, OURS) else 1]) for key in sorted(keys)}


def test_a_single_outlier_moves_neither_median_nor_quartiles() -> None:
    """The deviation is half the distance of the quartiles."""
    for largest in (5, 500):
        series = Series([3, 1, largest, 2, 4])
        assert (series.median, series.quartiles, series.deviation) == (3, (2, 4), 1 / 3)


def test_what_was_measured_once_does_not_deviate() -> None:
    """A quick run may have a single round."""
    series = Series([7])
    assert (series.median, series.quartiles, series.deviation) == (7, (7, 7), 0)


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    """A slow round slows both alike and does not change their ratio; the ratio of the medians would be 2."""
    own, other = Series([1, 10, 100]), Series([1, 5, 400])
    assert own.over(other).values == [1, 2, 0.25]
    assert own.ratio(other) == 1


def test_rounds_that_somebody_missed_are_not_compared() -> None:
    """Otherwise values of different rounds would be compared."""
    with pytest.raises(ValueError, match="shorter"):
        Series([1, 2]).ratio(Series([1]))


def test_a_table_has_words_on_the_left_and_numbers_on_the_right() -> None:
    """Each column is as wide as its widest cell."""
    cells = [["listing", "1"], ["call", "1000"]]
    assert table(["measure", "µs"], cells, words=1).splitlines() == [
        "measure    µs",
        "listing     1",
        "call     1000",
    ]
    assert table(["n", "µs"], [["100", "1"]]).splitlines() == ["  n  µs", "100   1"]


@pytest.mark.parametrize(
    ("measure", "title", "own", "goal", "met"),
    [
        ("memory", "memory after tools/list, MiB", 0.2, "≤ 0.2", "yes"),
        ("memory", "memory after tools/list, MiB", 0.201, "≤ 0.2", "NO"),
        ("list_bytes", "tools/list, bytes", 6000, "≤ 6000", "yes"),
        ("list_bytes", "tools/list, bytes", 6001, "≤ 6000", "NO"),
        ("p50", "stdio call p50, ms", 1, "≤ 1.7 (1)", "stretch"),
        ("p50", "stdio call p50, ms", 1.7, "≤ 1.7 (1)", "yes"),
        ("p50", "stdio call p50, ms", 1.71, "≤ 1.7 (1)", "NO"),
        ("calls_per_second", "stdio calls/s, 64 in flight", 5, "≥ 3.5 (5)", "stretch"),
        ("calls_per_second", "stdio calls/s, 64 in flight", 3.5, "≥ 3.5 (5)", "yes"),
        ("calls_per_second", "stdio calls/s, 64 in flight", 3.49, "≥ 3.5 (5)", "NO"),
    ],
)
def test_a_goal_is_met_up_to_its_bound(measure: str, title: str, own: float, goal: str, met: str) -> None:
    """The bound itself meets the goal; a better bound, where one exists, is the stretch goal."""
    head, *lines = rows(samples(measure, own))
    assert head == HEAD
    line = next(line for line in lines if line[0] == title)
    assert line[-2:] == [goal, met]
    assert float(line[1]) == own


def test_a_goal_names_whom_it_compares_with_or_which_measure() -> None:
    """A goal with a fixed bound is compared with nothing."""
    shown = {line[0]: line for line in rows(samples("p50_after", 2))}
    assert shown["stdio call p50 after that, ms"][3:7] == ["p50", "1", "0%", "2"]
    assert shown["HTTP calls/s, 16 clients"][3:7] == [FASTMCP, "1", "0%", "1"]
    assert shown["tools/list, bytes"][3:7] == ["-", "", "", ""]


def test_a_report_tells_whether_the_loads_were_larger_than_what_was_measured() -> None:
    """The report names the limits of client and API, and every goal."""
    measured = samples("client_busy", 0.0812)
    measured["http_calls_per_second", "nginx"] = Series([67355.4])
    shown = report(measured)
    assert "takes at most 8% of a processor; wrk gets 67355 calls/s from nginx" in shown
    assert all(goal.title in shown for goal in GOALS)


def test_a_file_holds_every_measurement_and_every_goal() -> None:
    """The file is JSON, and says of each goal whether it is met."""
    written = json.loads(json.dumps(as_json([loop()], samples("list_bytes", 6001))))
    assert {"measure": "list_bytes", "server": OURS, "values": [6001]} in written["measured"]
    assert len(written["measured"]) == len(samples())
    missed = {goal["measure"] for goal in written["goals"] if not goal["met"]}
    assert "tools/list, bytes" in missed
    assert "a result's text, bytes" not in missed
    assert written["versions"].keys() == {"hand-written"}


def written(file: Path, *, version: str = "1", **own: float) -> Path:
    """Write a run as `--json` does, with other values of this server."""
    measured = samples() | {(measure, OURS): Series([value]) for measure, value in own.items()}
    file.write_text(json.dumps(as_json([], measured) | {"versions": {OURS: version}}))
    return file


def test_of_several_runs_each_row_is_the_worst(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of some measures the highest value is the worst, of others the lowest."""
    show_worst(
        [
            written(tmp_path / "a", calls_per_second=5, memory=0.1),
            written(tmp_path / "b", calls_per_second=4, memory=0.2),
            written(tmp_path / "c", calls_per_second=6, memory=0.15),
        ]
    )
    shown = capsys.readouterr().out
    assert f"; {OURS} 1; the worst of 3 runs\n" in shown
    ratios = {line[:36].strip(): line.split()[-4:] for line in shown.splitlines()}
    assert ratios["stdio calls/s, 64 in flight"][0] == "4"
    assert ratios["memory after tools/list, MiB"][0] == "0.2"


def test_runs_of_different_versions_are_not_compared(tmp_path: Path) -> None:
    """Nor files that are something else."""
    with pytest.raises(BenchmarkError, match=rf"cannot be compared: .*{OURS} 1 \| .*{OURS} 2"):
        show_worst([written(tmp_path / "a"), written(tmp_path / "b", version="2")])
    (tmp_path / "c").write_text("[]")
    for name in ("c", "missing"):
        with pytest.raises(BenchmarkError, match="--worst-of takes files that --json wrote"):
            show_worst([tmp_path / name])


@pytest.mark.slow
def test_a_chart_is_drawn_as_png_and_as_svg(tmp_path: Path) -> None:
    """The drawing names the servers that were measured."""
    pytest.importorskip("matplotlib", reason="NOT CHECKED: the extra benchmarks is not installed")
    from benchmarks.chart import draw

    draw(samples(), tmp_path / "chart")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG\r\n")
    drawn = (tmp_path / "chart.svg").read_text()
    assert drawn.startswith("<?xml")
    assert all(f"<!-- {name} -->" in drawn for name in (OURS, FASTMCP, "HTTPX2 alone", "TypeScript"))


def test_differing_answers_stop_a_benchmark_with_a_message_that_names_both() -> None:
    """The first answer is the reference for all others."""
    agree("get_mailbox", {"one": {"id": 1}, "two": {"id": 1}, "three": {"id": 1}})
    with pytest.raises(BenchmarkError) as stopped:
        agree("get_mailbox", {"one": {"id": 1}, "two": {"id": 1}, "three": {"id": 2}})
    assert str(stopped.value) == "get_mailbox: one answers {'id': 1}, but three answers {'id': 2}"


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_a_template_becomes_the_call_that_it_stands_for(era: Era) -> None:
    """The template is filled with a numeric id and an address."""
    written = template(era, "get_mailbox") % (7, "client-7@inkboxmail.com")
    assert json.loads(written) == call(era, "get_mailbox", {"email_address": "client-7@inkboxmail.com"}, 7)
    assert "\n" not in written


def test_only_the_modern_era_sends_an_envelope() -> None:
    """In the other era the handshake has named the version."""
    assert "_meta" not in call(LEGACY, "get_mailbox", {})["params"]
    envelope = call(MODERN, "get_mailbox", {})["params"]["_meta"]
    assert envelope["io.modelcontextprotocol/protocolVersion"] == MODERN
    initialize: Message = INITIALIZE
    assert initialize["params"]["protocolVersion"] == LEGACY
