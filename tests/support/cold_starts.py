"""The answers and the recording of a cold start over stdio, without the second that a real one takes.

The server, its pipes and its recorder are the real ones and run in this process. Only the path of the recording comes
from a process, because it depends on how that was started. `test_warm_start` proves that a real cold start answers and
records the same bytes.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.settings.sources import load
from inkbox_mcp.stdio.pipes import Pipes
from inkbox_mcp.stdio.serve import serve_pipes
from inkbox_mcp.stdio.warm_start import Beginning
from tests.support.processes import PATIENCE, environment

ON_A_SANDBOX = ("--sandbox", "--sandbox-db", ":memory:")
NO_FILE = Path(os.devnull)


def answers_of_the_sdk(lines: Sequence[bytes]) -> list[bytes]:
    """Write lines one after another to a server on an empty sandbox; the SDK gives all answers.

    Args:
        lines: a client's lines, with their line breaks.

    Returns:
        The answer to each line; an empty one for a notification.
    """
    return anyio.run(_converse, lines, load(server_parser("", "").choose(ON_A_SANDBOX), {}, NO_FILE), Beginning())


def record(
    home: Path,
    lines: Sequence[bytes],
    *,
    arguments: Sequence[str] = ON_A_SANDBOX,
    by_module: bool = True,
    **variables: str,
) -> list[bytes]:
    """Record a conversation as a cold start does; return the answers, see `answers_of_the_sdk`.

    Args:
        home: the home of the server's user.
        lines: a client's lines.
        arguments: the server's arguments.
        by_module: whether the server is started by `python -m`; otherwise by `python -c`.
        variables: the server's environment variables.
    """
    settings = load(server_parser("", "").choose(arguments), variables, NO_FILE)
    return anyio.run(_converse, lines, settings, Beginning(_recordings(home, arguments, by_module, variables)))


RECORDINGS = """
import os, sys
from inkbox_mcp.stdio.warm_start import recordings

if sys.argv[1] == "-m":
    sys.path[0] = os.getcwd()
sys.stderr.write("\\n".join(recordings(sys.argv[2:])))
"""


def _recordings(home: Path, arguments: Sequence[str], by_module: bool, variables: dict[str, str]) -> tuple[str, str]:
    command = [sys.executable, "-c", RECORDINGS, "-m" if by_module else "-c", *arguments]
    env = environment(home, **variables)
    found = subprocess.run(command, input=b"", capture_output=True, env=env, timeout=PATIENCE, check=True).stderr
    cache, settings = found.decode().split("\n")
    return cache, settings


async def _converse(lines: Sequence[bytes], settings: Settings, beginning: Beginning) -> list[bytes]:
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, stdout):
        os.set_blocking(fd, False)
    answers: list[bytes] = []
    try:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel)
                tasks.start_soon(serve_pipes, Service(settings), pipes, beginning)
                try:
                    for line in lines:
                        await anyio.to_thread.run_sync(_write, to, line)  # a line may be longer than the pipe
                        answers.append(await _line(back) if b'"id"' in line else b"")
                finally:
                    os.close(to)
    finally:
        for fd in (stdin, back, stdout):
            os.close(fd)
    return answers


def _write(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(fd, rest) :]


async def _line(fd: int) -> bytes:
    """Read one line; the next one comes only after another request."""
    line = b""
    while not line.endswith(b"\n"):
        await anyio.wait_readable(fd)
        line += os.read(fd, 1 << 16)
    return line
