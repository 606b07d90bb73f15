"""Server processes on stdio, and the modules that they load."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.processes import COMMAND, PATIENCE, environment


class Session:
    """Runs a server process on pipes."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        self.log = home / "log"
        on_a_sandbox = [] if "INKBOX_BASE_URL" in variables else ["--sandbox", "--sandbox-db", ":memory:"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *on_a_sandbox, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment(home), **variables},
            )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def ask(self, line: bytes) -> bytes:
        """Write a line and return the line that answers it, or nothing for a notification."""
        self.stdin.write(line)
        self.stdin.flush()
        return self.stdout.readline() if b'"id"' in line else b""

    def is_loaded(self) -> bool:
        """Whether the process has loaded pydantic, as its memory map shows."""
        return "pydantic_core" in Path(f"/proc/{self.process.pid}/maps").read_text()

    def end(self, rest: bytes = b"") -> bytes:
        """Write the rest, close stdin and check that the server ends cleanly. Return the remaining answers."""
        try:
            answered, _ = self.process.communicate(rest, PATIENCE)
        finally:
            self.process.kill()
        assert self.process.returncode == 0
        assert "Traceback" not in self.log.read_text()
        return answered


def whole(home: Path, lines: list[bytes], *arguments: str, **variables: str) -> tuple[list[bytes], bool]:
    """Write lines to a new server one by one. Return the answers, and whether it loaded the SDK."""
    session = Session(home, *arguments, **variables)
    answers = [session.ask(line) for line in lines]
    loaded = session.is_loaded()
    assert session.end() == b""
    return answers, loaded


MODULES = """
import atexit, os, sys
atexit.register(lambda: os.write(2, " ".join(sorted(sys.modules)).encode()))
if "INKBOX_BASE_URL" not in os.environ:
    sys.argv[1:1] = ["--sandbox", "--sandbox-db", ":memory:"]
from inkbox_mcp.__main__ import main
sys.exit(main())
"""


def loaded(home: Path, lines: list[bytes], **variables: str) -> set[str]:
    """Return the modules that are loaded when these lines have been answered."""
    command = [sys.executable, "-c", MODULES]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        **variables,
    }  # without coverage, which loads many modules
    ended = subprocess.run(command, input=b"".join(lines), capture_output=True, env=env, timeout=PATIENCE, check=True)
    assert len(ended.stdout.splitlines()) == len([line for line in lines if b'"id"' in line])
    return set(ended.stderr.decode().split())
