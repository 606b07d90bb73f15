"""A start from a recording gives the same bytes as the SDK, and loads the SDK when it is needed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

import inkbox_mcp
from inkbox_mcp.cache.writing import MOST_KEPT
from inkbox_mcp.settings.misplaced import meant_in_the_environment
from inkbox_mcp.settings.options import options
from inkbox_mcp.stdio.warm_start import may_be_ours
from tests.support.alike import ERAS_ALIKE, SIGNALS_ALIKE, choices
from tests.support.cold_starts import record
from tests.support.messages import ENVELOPE, HANDSHAKE, rpc
from tests.support.messages import LIST_MAILBOXES as CALL
from tests.support.openings import legacy, modern
from tests.support.processes import COMMAND, PATIENCE, environment
from tests.support.stdio_sessions import Session, loaded, whole

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a start is always cold there")

HEAVY = {
    "anyio", "asyncio", "argparse", "cryptography", "email", "fastapi", "hashlib", "httpx2", "importlib.metadata",
    "inkbox_mcp.cli", "inkbox_mcp.settings.options", "json", "jwt", "logging", "mcp", "mcp_types", "opentelemetry",
    "pathlib", "pydantic", "re", "signal", "ssl", "starlette", "typing",
}  # fmt: skip


OPENINGS = {
    **{version: legacy(version) for version in (*HANDSHAKE_PROTOCOL_VERSIONS, "1999-01-01")},
    **{version: modern(version) for version in MODERN_PROTOCOL_VERSIONS},
    "an unknown modern version": modern("2099-01-01"),
    "a list before the handshake": [rpc(id=1, method="tools/list"), *legacy("2025-11-25")],
    "two handshakes": [*legacy("2025-11-25"), *legacy("2024-11-05")],
    "parameters that are none": [rpc(id=1, method="initialize", params={"capabilities": []})],
    "a page that is none": [*legacy("2025-11-25"), rpc(id=7, method="tools/list", params={"cursor": "x"})],
    "methods that it lacks": [*legacy("2025-11-25"), rpc(id=7, method="prompts/list")],
    "long numbers and strange names": [rpc(id=10**30, method="ping"), rpc(id='"\u202e\\', method="ping")],
    "lines that end as elsewhere": [line.replace(b"\n", b"\r\n") for line in legacy("2025-11-25")],
}
REALLY_COLD = {MODERN_PROTOCOL_VERSIONS[-1]}
"""The opening that a quick run also tests with a real cold start."""


LIST_CALL = rpc(id="call", method="tools/call", params=CALL)


def recorded(home: Path) -> dict[str, bytes]:
    """Return the content of all recordings by path."""
    cache = home / ".cache" / "inkbox-mcp"
    return {str(file.relative_to(cache)): file.read_bytes() for file in cache.glob("*/*")}


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_warm_start_answers_with_the_bytes_of_a_cold_one(opening: str, tmp_path: Path) -> None:
    """This holds for every opening of every era, with errors."""
    lines = OPENINGS[opening]
    cold = record(tmp_path, lines)
    assert whole(tmp_path, lines) == (cold, False)
    assert all(json.loads(answer) for answer in cold if answer)


@pytest.mark.parametrize("opening", choices(OPENINGS, OPENINGS.keys() - REALLY_COLD))
def test_a_cold_start_answers_and_records_the_bytes_of_the_sdk_in_this_process(opening: str, tmp_path: Path) -> None:
    """Other tests compare with the SDK in this process, because a real cold start takes a second."""
    lines = OPENINGS[opening]
    by_the_sdk = record(tmp_path, lines)
    by_the_sdk_recorded = recorded(tmp_path)
    shutil.rmtree(tmp_path / ".cache")
    assert whole(tmp_path, lines) == (by_the_sdk, True)
    assert recorded(tmp_path) == by_the_sdk_recorded
    assert len(by_the_sdk_recorded) == 1
    assert whole(tmp_path, lines, "--no-warm-start") == (by_the_sdk, True)


@ERAS_ALIKE
def test_what_needs_a_human_loads_the_sdk_which_knows_what_was_said(era: str, tmp_path: Path) -> None:
    """The SDK learns the client's version and capabilities from the recorded lines, so it can ask the human."""
    meta: dict[str, Any] = {"_meta": {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}}
    if era == "legacy":
        opening = [rpc(id=0, method="initialize", params={**HANDSHAKE, "capabilities": {"elicitation": {}}})]
        opening += legacy("2025-11-25")[1:]
        meta = {}
    else:
        opening = [rpc(id=0, method="server/discover", params=meta)]
    create = {"name": "create_mailbox", "arguments": {"agent_handle": "sales-agent"}, **meta}
    record(tmp_path, opening)
    session = Session(tmp_path)
    for line in opening:
        session.ask(line)
    assert not session.is_loaded()
    made = json.loads(session.ask(rpc(id="c", method="tools/call", params=create)))
    address = made["result"]["structuredContent"]["email_address"]
    delete = {"name": "delete_mailbox", "arguments": {"email_address": address}, **meta}
    asked = session.ask(rpc(id="d", method="tools/call", params=delete))
    assert b"elicitation/create" in asked
    session.end()


@pytest.mark.parametrize("cut", choices(range(6), {0, 1, 2, 4, 5}))
def test_calls_while_it_loads_are_neither_lost_nor_answered_twice(cut: int, tmp_path: Path) -> None:
    """All lines after `cut` come at once, with a cancellation."""
    opening = legacy("2025-11-25")
    record(tmp_path, opening)
    session = Session(tmp_path)
    calls = [rpc(id=number, method="tools/call", params=CALL) for number in range(10, 20)]
    cancelled = rpc(method="notifications/cancelled", params={"requestId": 2})
    before = [session.ask(line) for line in opening[:cut]]
    session.stdin.write(b"".join([*opening[cut:], *calls, cancelled]))
    session.stdin.flush()
    # Read all answers first: after the end of input a server that still loads has only a second.
    after = [session.stdout.readline() for _ in range(13 - len([*filter(None, before)]))]
    assert session.end() == b""
    answers = [json.loads(line) for line in [*filter(None, before), *after]]
    assert sorted(str(answer["id"]) for answer in answers) == sorted(map(str, [0, "one", 2, *range(10, 20)]))
    assert all("result" in answer for answer in answers)


HALF: dict[str, Any] = {"method": "tools/list", "more": "\ud83d"}


@pytest.mark.slow
@pytest.mark.parametrize("broken", [{"method": "ping", "params": []}, HALF])
def test_the_refusal_of_a_message_is_not_recorded_as_the_answer_to_an_open_request(
    broken: dict[str, Any], tmp_path: Path
) -> None:
    """The error has the same id as the request, whose answer comes later."""
    lines = [*legacy("2025-11-25")[:2], rpc(id=1, method="tools/list")]
    Session(tmp_path).end(b"".join([*lines, rpc(id=1, **broken)]))
    answers, _ = whole(tmp_path, lines)
    assert "tools" in json.loads(answers[-1])["result"]


NEVER_RECORDED = {
    "an id that is none": rpc(id=None, method="initialize", params=HANDSHAKE),
    "half a character": rpc(id=5, method="tools/list", params={"cursor": "\ud83d"}),
    "half a name": rpc(id=5, method="\ud83d"),
}


@pytest.mark.parametrize("case", choices(NEVER_RECORDED, {"an id that is none", "half a name"}))
def test_what_is_refused_ends_the_recording(case: str, tmp_path: Path) -> None:
    """At each start it is answered anew, with the same bytes, after the recorded lines before it."""
    lines = [*legacy("2025-11-25"), NEVER_RECORDED[case]]
    first = record(tmp_path, lines)
    (recording,) = recorded(tmp_path).values()
    assert NEVER_RECORDED[case] not in recording
    assert whole(tmp_path, lines) == (first, True)
    assert json.loads(first[-1])["error"]["code"] in {-32600, -32602}


@pytest.mark.slow
def test_requests_of_the_same_id_at_once_are_answered_alike_at_every_start(tmp_path: Path) -> None:
    """They are not recorded, because their answers cannot be told apart."""
    lines = [*legacy("2025-11-25")[:2], *[rpc(id=1, method="tools/list")] * 3]
    answered: list[bytes] = []
    for _ in range(2):
        session = Session(tmp_path)
        answered.append(session.end(b"".join(lines)))
    assert answered[0] == answered[1]
    assert len(answered[0].splitlines()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_a_conversation_is_the_same_whether_it_starts_warm_or_cold(seed: int, tmp_path: Path) -> None:
    """Known and unknown lines come in any order and are cut anywhere; the last line may be incomplete."""
    random = Random(seed)
    opening = legacy("2025-11-25")
    noise = [
        LIST_CALL,
        b"garbage\n",
        b"\n",
        rpc(id=5, method="no/such"),
        rpc(id=0, method="ping"),
        rpc(id=1.5, method="x"),
    ]
    lines = [*opening[: random.randint(1, 4)], *random.choices([*noise, *opening[1:]], k=random.randint(0, 6))]
    data = b"".join(lines)[: None if random.random() < 0.7 else -1]
    record(tmp_path, opening)
    answers: list[list[str]] = []
    for arguments in ([], ["--no-warm-start"]):
        session = Session(tmp_path, *arguments)
        for start in range(0, len(data), size := random.randint(20, 400)):
            session.stdin.write(data[start : start + size])
            session.stdin.flush()
        answered: list[dict[str, Any]] = []
        # After the end of input, a call has a second, which may not be enough on a busy machine.
        while sum(answer.get("id") == "call" for answer in answered) < data.count(LIST_CALL):
            answered.append(json.loads(session.stdout.readline()))
        answered += [json.loads(line) for line in session.end().splitlines()]
        for answer in answered:
            answer.get("result", {}).pop("_meta", None)
        answers.append(sorted(json.dumps(answer) for answer in answered))
    assert answers[0] == answers[1]


def only_recording(home: Path) -> Path:
    """Return the path of the only recording."""
    (recording,) = (home / ".cache" / "inkbox-mcp").glob("*/*")
    return recording


def garble(recording: Path) -> None:
    """Change one byte."""
    content = bytearray(recording.read_bytes())
    content[len(content) // 2] ^= 1
    recording.write_bytes(content)


def replace_by_link(recording: Path) -> None:
    """Replace a recording by a link to the same content."""
    recording.rename(recording.with_name("elsewhere"))
    recording.symlink_to("elsewhere")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one byte": garble,
    "cut off": lambda recording: os.truncate(recording, 100),
    "empty": lambda recording: recording.write_bytes(b""),
    "a folder": lambda recording: (recording.unlink(), recording.mkdir()),
    "a link": replace_by_link,
    "a pipe": lambda recording: (recording.unlink(), os.mkfifo(recording, 0o600)),
    "for others to write": lambda recording: recording.chmod(0o666),
    "in a folder for others to write": lambda recording: recording.parent.chmod(0o777),
}


@pytest.mark.parametrize("damage", choices(DAMAGE, DAMAGE.keys() - {"one byte"}))
def test_a_recording_that_cannot_be_trusted_is_ignored(damage: str, tmp_path: Path) -> None:
    """The server then starts cold."""
    lines = legacy("2025-11-25")
    cold = record(tmp_path, lines)
    assert whole(tmp_path, lines) == (cold, False)
    DAMAGE[damage](only_recording(tmp_path))
    assert whole(tmp_path, lines) == (cold, True)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--read-only"], {}),
        pytest.param([], {"INKBOX_MCP_READ_ONLY": "1"}, marks=pytest.mark.slow),
        pytest.param([], {"INKBOX_API_KEY": "ApiKey_x.y"}, marks=pytest.mark.slow),
        pytest.param([], {"OTEL_TRACES_EXPORTER": "none"}, marks=pytest.mark.slow),
    ],
)
def test_other_settings_are_another_recording(arguments: list[str], variables: dict[str, str], tmp_path: Path) -> None:
    """Any setting may change an answer."""
    lines = legacy("2025-11-25")
    record(tmp_path, lines)
    assert not whole(tmp_path, lines)[1]
    assert whole(tmp_path, lines, *arguments, **variables)[1]


MISSPELT = ["INKBOX_READ_ONLY", "inkbox_mcp_read_only", "INBOX_MCP_READ_ONLY", "INK_BOX_TOOLS"]


@pytest.mark.parametrize("variable", choices(MISSPELT, MISSPELT[2:]))
def test_a_misspelt_limit_stops_a_start_that_a_recording_could_answer(variable: str, tmp_path: Path) -> None:
    """The recording comes from a server without this limit."""
    record(tmp_path, legacy("2025-11-25"))
    session = Session(tmp_path, **{variable: "1"})
    assert session.process.wait(PATIENCE) == 2
    session.process.communicate()
    assert variable in session.log.read_text()


@given(st.sampled_from([option.environment for option in options()]), st.data())
def test_a_variable_that_would_stop_a_start_is_part_of_a_recordings_key(variable: str, data: st.DataObject) -> None:
    """Otherwise a recording would answer a start that a misspelt variable must stop."""
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(variable) - 1))
        slip = data.draw(st.sampled_from(["", variable[place] * 2, *"XM_-."]))
        variable = variable[:place] + slip + variable[place + 1 :]
    assert meant_in_the_environment(variable) is None or may_be_ours(variable)


EACH_FILE = """
import pathlib, sys
from inkbox_mcp.stdio.warm_start import recordings

for file in pathlib.Path("inkbox_mcp").rglob("*.py"):
    before = recordings([])
    file.write_text("changed")
    assert before and recordings([]) != before, file
"""


def test_a_recording_does_not_outlive_a_change_of_any_file(tmp_path: Path) -> None:
    """The check covers the whole package, not only the folder that reads recordings."""
    package = Path(inkbox_mcp.__file__).parent
    shutil.copytree(package, tmp_path / "inkbox_mcp", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-c", EACH_FILE],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(tmp_path)),
        input=b"",
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )


def test_an_option_that_is_wrong_stops_a_start_before_a_client_speaks(tmp_path: Path) -> None:
    """Such a start was never recorded."""
    lines = legacy("2025-11-25")
    record(tmp_path, lines)
    command = [*COMMAND, "--sandbox", "--sandbox-db", ":memory:", "--frobnicate"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path))
    assert process.stderr
    assert process.stderr.read() == b"inkbox-mcp: unrecognized arguments: --frobnicate; see inkbox-mcp --help\n"
    assert process.wait(PATIENCE) == 2
    process.communicate()


def test_a_client_that_never_says_the_same_fills_no_disk(tmp_path: Path) -> None:
    """Old recordings are deleted, for example of random ids; other files in the folder stay."""
    recordings = tmp_path / ".cache" / "inkbox-mcp"
    record(tmp_path, [rpc(id=0, method="ping")])
    folder = only_recording(tmp_path).parent
    for number in range(50):
        (folder / str(number)).touch()
        (recordings / str(number)).mkdir()
        (folder / f"{number:032x}").touch(0o600)
        (recordings / f"{number:032x}").mkdir(0o700)
    record(tmp_path, [rpc(id=1, method="ping")])
    assert len(list(folder.iterdir())) == len(list(recordings.iterdir())) == MOST_KEPT + 50
    assert all((folder / str(number)).exists() and (recordings / str(number)).exists() for number in range(50))
    assert whole(tmp_path, [rpc(id=1, method="ping")])[1] is False


@pytest.mark.parametrize("place", choices(["/dev/null", "/proc", "relative"], {"/proc", "relative"}))
def test_a_cache_that_cannot_be_written_harms_nobody(place: str, tmp_path: Path) -> None:
    """Every start is then cold, and the log stays empty."""
    lines = legacy("2025-11-25")
    _, loaded = whole(tmp_path, lines, XDG_CACHE_HOME=place)
    assert loaded
    assert (tmp_path / "log").read_text() == ""


@SIGNALS_ALIKE
def test_a_signal_ends_a_server_that_has_loaded_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """The status is 0, as after a full start."""
    lines = legacy("2025-11-25")
    record(tmp_path, lines)
    session = Session(tmp_path)
    session.ask(lines[0])
    assert not session.is_loaded()
    session.process.send_signal(number)
    assert session.process.wait(PATIENCE) == 0
    assert session.end() == b""


def test_a_client_that_has_stopped_reading_ends_it(tmp_path: Path) -> None:
    """The server has no client left, and logs nothing."""
    lines = legacy("2025-11-25")
    record(tmp_path, lines)
    session = Session(tmp_path)
    session.stdout.close()
    session.stdin.write(lines[0])
    session.stdin.flush()
    assert session.process.wait(PATIENCE) == 0
    session.stdin.close()
    assert session.log.read_text() == ""


def test_a_start_loads_only_what_it_needs(tmp_path: Path) -> None:
    """A warm start loads almost nothing; a cold start loads no sandbox, web server or extras."""
    lines = legacy("2025-11-25")
    cold = loaded(tmp_path, lines)
    for name in ("inkbox_mcp.sandbox", "fastapi", "prometheus_client", "redis", "opentelemetry.sdk", "limits"):
        assert name not in cold, name
    warm = loaded(tmp_path, lines)
    assert not warm & HEAVY
    assert {name for name in warm if name.startswith("inkbox_mcp")} == {
        "inkbox_mcp", "inkbox_mcp.__main__", "inkbox_mcp.cache", "inkbox_mcp.cache.place", "inkbox_mcp.stdio",
        "inkbox_mcp.stdio.warm_start",
    }  # fmt: skip


def test_a_first_call_loads_no_sdk_and_no_web_server(tmp_path: Path) -> None:
    """It loads only what checks the arguments and sends the request to Inkbox."""
    lines = legacy("2025-11-25")
    nobody = {
        "INKBOX_BASE_URL": "http://127.0.0.1:1",
        "INKBOX_API_KEY": "ApiKey_x.y",
        "INKBOX_MCP_API_GENERATION": "spec",
    }
    record(tmp_path, lines, arguments=[], by_module=False, **nobody)
    first = loaded(tmp_path, [*lines, LIST_CALL], **nobody)
    assert {"inkbox_mcp.service", "httpx2", "pydantic"} <= first
    for name in ("mcp", "mcp_types", "starlette", "jsonschema", "cryptography", "uvicorn", "fastapi", "sqlite3"):
        assert name not in first, name
