"""Programs that benchmarks start, and the benchmarks as programs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from select import select

import pytest

sys.path.append(str(Path(__file__).parent.parent.parent))  # benchmarks are not installed

from benchmarks.listing import WAYS, measure, paged
from benchmarks.processes import BenchmarkError, free_port, memory, output, require, run, running
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.toolkit.operation import Result
from inkbox_mcp.tools.mailboxes import ListMailboxes
from inkbox_mcp.tools.spec_generation.mailboxes import list_mailboxes
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.linux
ROOT = Path(__file__).parent.parent.parent
CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdout.write("deaf")
sys.stdout.flush()
time.sleep(60)
"""
LISTENER = f"""
import signal, socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.read(4)
print(child.pid, flush=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
signal.pause()
"""


def python(script: str, *arguments: str) -> list[str]:
    """Return a command line that runs a script."""
    return [sys.executable, "-c", script, *arguments]


def ends(pid: int, patience: float = PATIENCE) -> bool:
    """Return whether a process ends in time; the code that kills it does not wait for children."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select([process], [], [], patience)[0])
    finally:
        os.close(process)


def is_listening(port: int) -> bool:
    """Return whether a process listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_a_program_is_there_when_it_listens_and_ends_with_its_children(
    error: type[BaseException] | None, tmp_path: Path
) -> None:
    """Children that ignore Ctrl-C are ended too, even if the benchmark fails."""
    port, log = free_port(), tmp_path / "listener.log"
    pids: list[int] = []
    with (
        pytest.raises(error) if error else nullcontext(),
        running(python(LISTENER, str(port)), [port], log) as pid,
    ):
        pids += [pid, int(log.read_text().split()[0])]
        assert is_listening(port)
        assert not any(ends(pid, 0) for pid in pids)
        if error:
            raise error
    assert len(pids) == 2
    assert all(map(ends, pids))
    assert not is_listening(port)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python("print('one'); exit('no such option')"), "server-0 ended with status 1: no such option"),
        (python(""), "server-0 ended with status 0: it wrote nothing"),
        (["/no/such/server"], "/no/such/server cannot be started: No such file or directory"),
    ],
)
def test_a_server_that_does_not_start_is_an_error_with_its_last_words(
    command: list[str], message: str, tmp_path: Path
) -> None:
    """Its last line usually names the problem."""
    with pytest.raises(BenchmarkError) as failed, running(command, [free_port()], tmp_path / "server-0.log"):
        pytest.fail("it has not started")
    assert str(failed.value) == message


def test_the_output_of_a_program_is_what_it_wrote(tmp_path: Path) -> None:
    """It runs in the given directory; bytes that are not UTF-8 are replaced."""
    script = r"import os; os.write(1, os.getcwdb() + b' \xc3\n'); os.write(2, b'a warning')"
    assert output(python(script), PATIENCE, tmp_path) == f"{tmp_path} \ufffd"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('asked'); raise ValueError('wrong')", "failed: ValueError: wrong"),
        ("print('asked'); exit(3)", "failed: asked"),
        ("exit(3)", "failed: status 3"),
        ("import time; time.sleep(60)", "did not end within 0 seconds"),
    ],
)
def test_a_program_that_fails_or_hangs_is_an_error_with_its_last_words(script: str, message: str) -> None:
    """The message quotes stderr rather than stdout."""
    patience = 0.2 if "sleep" in script else PATIENCE
    with pytest.raises(BenchmarkError) as failed:
        output(python(script), patience)
    assert str(failed.value).endswith(message)
    assert str(failed.value).startswith(f"{Path(sys.executable).name} -c")


def test_children_of_a_program_that_hangs_are_ended() -> None:
    """They hold its output open, and no other code ends them."""
    port = free_port()
    with pytest.raises(BenchmarkError, match="did not end"):
        output(python(LISTENER, str(port)), 0.4)
    assert not is_listening(port)


def test_memory_is_that_of_a_program_and_its_children(tmp_path: Path) -> None:
    """The name of a process may contain any bytes, so it must not confuse the parser."""
    strange = tmp_path / os.fsdecode(b"\xff) Z")
    strange.symlink_to("/bin/sleep")
    with running(python(LISTENER, str(port := free_port())), [port], tmp_path / "log") as both:
        together = memory(both)
        with running([str(strange), "60"], [], tmp_path / "strange") as sleeping:
            assert 0 < memory(sleeping) < together
            assert memory(both) == pytest.approx(together, rel=0.1)
        own = int(Path(f"/proc/{both}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
        assert together > own * 1.3


def test_a_program_that_is_missing_is_named_with_its_package() -> None:
    """An installed program is found, also in the directories for administrators."""
    with pytest.raises(BenchmarkError, match="no-such-program is missing: install the Debian package no-such-program"):
        require("no-such-program")
    assert Path(require("sh")).is_absolute()


@pytest.fixture
def signals_of_a_terminal() -> Generator[None]:
    """Handle SIGINT as in a terminal, because background jobs ignore it; restore the handlers afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_of_a_terminal")
def test_a_benchmark_ends_with_a_status_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C and SIGTERM end it without a message."""

    def fail() -> None:
        raise BenchmarkError("nginx is missing")

    assert run(lambda: None) == 0
    assert capsys.readouterr().err == ""
    assert run(fail) == 1
    assert capsys.readouterr().err == "error: nginx is missing\n"
    for number in (signal.SIGINT, signal.SIGTERM):
        assert run(lambda number=number: signal.raise_signal(number)) == 130
    assert capsys.readouterr().err == ""


def benchmark(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark as a user does."""
    command, env = [sys.executable, "-m", *arguments], {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.http", "benchmarks.memory", "benchmarks.waits"])
def test_a_benchmark_tells_its_options(module: str) -> None:
    """`--help` works where no other program is installed."""
    shown = benchmark(module, "--help", PATH="/nowhere")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: python -m {module} ")


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.http"])
def test_a_benchmark_that_lacks_a_program_says_so_and_begins_nothing(module: str, tmp_path: Path) -> None:
    """One line names the missing Debian package."""
    if any((Path(folder) / "wrk").exists() for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin")):
        pytest.skip("wrk is where it is always found")
    refused = benchmark(module, "--workdir", str(tmp_path / "cache"), PATH="/nowhere")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: wrk is missing: install the Debian package wrk\n"
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_the_framework_benchmark_shows_what_a_call_takes_each_way() -> None:
    """The table has one row per transport, in microseconds of processor time."""
    ended = benchmark("benchmarks.framework", "--rounds", "1")
    assert (ended.returncode, ended.stderr) == (0, "")
    _, _, head, *rows = ended.stdout.splitlines()
    assert head.split() == ["µs", "per", "call", "lower", "quarter", "median", "±"]
    assert [row.rsplit(maxsplit=3)[0].strip() for row in rows] == [
        "2026-07-28 over ASGI",
        "2025-11-25 over pipes, by the SDK",
        "2025-11-25 over pipes, directly",
    ]
    assert all(10 < int(row.split()[-2]) < 100_000 for row in rows)


async def test_a_page_of_a_long_list_is_measured_beside_models_of_all_of_it() -> None:
    """Both values are in milliseconds."""
    taken = await measure(100, seconds=0.01)
    assert taken.keys() == {"paged", "validated"}
    assert all(0 < milliseconds < 1000 for milliseconds in taken.values())


async def test_ways_to_a_page_that_show_different_mailboxes_are_not_compared() -> None:
    """An implementation that returns fewer mailboxes is not a faster one."""

    async def short(api: InkboxAPI) -> Result:
        return await list_mailboxes.run(api, ListMailboxes(limit=49))

    with pytest.raises(AssertionError, match=r"^100 mailboxes: "):
        await measure(100, 0.01, {"paged": paged, "short": short})
    assert (await measure(100, 0.01, {**WAYS, "again": paged})).keys() == {"paged", "validated", "again"}
