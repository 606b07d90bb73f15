"""Find and start programs for a benchmark, wait for them, and end them even after an error."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

SECONDS_TO_START = 30.0
SECONDS_TO_END = 5.0


class BenchmarkError(Exception):
    """A benchmark cannot run, or its numbers cannot be trusted; the message gives the reason in one line."""


def require(program: str) -> str:
    """Find a program whose Debian package has the same name.

    Raises:
        BenchmarkError: the program is not installed.
    """
    # Debian installs servers in directories that only the administrator's PATH contains.
    found = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if not found:
        raise BenchmarkError(f"{program} is missing: install the Debian package {program}")
    return found


def free_port() -> int:
    """Find a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(
    command: Sequence[str], ports: Sequence[int], log: Path, environment: Mapping[str, str] | None = None
) -> Generator[int]:
    """Start a program, wait until it listens on its ports, yield its process id, and end it and its children.

    Raises:
        BenchmarkError: it cannot start, ended by itself or does not listen; the message has its last line of output.
    """
    with log.open("ab") as written:
        process = _start(command, written, written, environment)
    try:
        for port in ports:
            _await_listener(process, port, log)
        yield process.pid
    finally:
        try:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
        finally:  # even after another Ctrl-C
            _kill(process)


def output(command: Sequence[str], patience: float, directory: Path | None = None) -> str:
    """Run a program until it ends and return its output; end it and its children even after an error.

    Args:
        command: the command line.
        patience: seconds after which the program is killed.
        directory: the working directory.

    Raises:
        BenchmarkError: it cannot start, failed or did not end; the message has its last line of output.
    """
    name = " ".join(Path(word).name for word in command[:3])
    with _start(command, subprocess.PIPE, subprocess.PIPE, directory=directory) as process:
        try:
            written, complaints = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{name} did not end within {patience:.0f} seconds") from None
        finally:
            _kill(process)
    if process.returncode:
        said = _last_line(complaints) or _last_line(written) or f"status {process.returncode}"
        raise BenchmarkError(f"{name} failed: {said[-500:]}")
    return written.decode(errors="replace").strip()


def run(benchmark: Callable[[], object]) -> int:
    """Run a benchmark and return its exit status; Ctrl-C and SIGTERM also end the programs that it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        benchmark()
    except BenchmarkError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Print the progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def last_line(log: Path) -> str:
    """Return the last line of a log, or a note that it is empty."""
    return _last_line(log.read_bytes()) or "it wrote nothing"


def _last_line(written: bytes) -> str:
    return written.decode(errors="replace").strip().rpartition("\n")[2]


def _start(
    command: Sequence[str],
    written: int | IO[bytes],
    complaints: int | IO[bytes],
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.Popen[bytes]:
    try:
        # A separate session keeps Ctrl-C from the programs, so that the benchmark can end them in order.
        return subprocess.Popen(  # noqa: S603 - command lines are the benchmarks' own
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=complaints,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    except OSError as error:
        raise BenchmarkError(f"{command[0]} cannot be started: {error.strerror}") from None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    state = "does not listen" if process.poll() is None else f"ended with status {process.returncode}"
    raise BenchmarkError(f"{log.stem} {state}: {last_line(log)}")


def memory(leader: int) -> float:
    """Return the resident memory in MiB of a process that `running` started, with its children."""
    return sum(_resident(directory) for directory in _of_group(leader)) / 1024


def _of_group(leader: int) -> Iterator[Path]:
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The name in brackets may contain any character; the group is the third field after it.
            if int((directory / "stat").read_bytes().rpartition(b")")[2].split()[2]) == leader:
                yield directory


def _resident(directory: Path) -> int:
    try:
        return int((directory / "status").read_bytes().partition(b"VmRSS:")[2].split()[0])
    except (OSError, IndexError):
        return 0
