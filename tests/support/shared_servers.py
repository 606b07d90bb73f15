"""HTTP servers that many tests share and only read, because starting one takes longer than most tests."""

import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.processes import COMMAND, PATIENCE, environment


class SharedHTTP(Protocol):
    """Returns the origin of a server with metrics on an empty sandbox. A worker's tests share it and change nothing.

    The first call with given options and variables starts the server. It ends after the last test.
    """

    def __call__(self, *options: str, **variables: str) -> str:
        """Return the origin."""
        ...


@contextmanager
def sharing(make_home: Callable[[], Path]) -> Generator[SharedHTTP]:
    """Start servers when they are first needed; at the end each must stop with status 0 and without a traceback."""
    origins: dict[object, str] = {}
    with ExitStack() as running:

        def origin(*options: str, **variables: str) -> str:
            key = (options, frozenset(variables.items()))
            if key not in origins:
                origins[key] = running.enter_context(_serving(options, environment(make_home(), **variables)))
            return origins[key]

        yield origin


@contextmanager
def _serving(options: tuple[str, ...], env: dict[str, str]) -> Generator[str]:
    # The server need not wait for a balancer, even if a test has asked whether it is ready.
    on_a_sandbox = ("--http", "--port", "0", "--sandbox", "--sandbox-db", ":memory:")
    arguments = (*on_a_sandbox, "--drain-timeout", "0", "--metrics", *options)
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr
            log: list[str] = []
            while "serving MCP at " not in (line := process.stderr.readline()):
                assert line, "".join(log)
                log.append(line)
            reader = threading.Thread(target=log.extend, args=[process.stderr])
            reader.start()
            yield line.partition("serving MCP at ")[2].partition("/mcp")[0]
            process.terminate()
            assert process.wait(PATIENCE) == 0
            reader.join(PATIENCE)
            assert "Traceback" not in "".join(log)
        finally:
            process.kill()
