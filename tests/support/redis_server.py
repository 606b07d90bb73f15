"""A real Redis for tests, on its own Unix socket or port."""

import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class RedisServer:
    """A Redis that can be stopped, suspended and started again at the same address.

    Args:
        *options: options of `redis-server` that set its address.
    """

    def __init__(self, *options: str) -> None:
        self._command = ("redis-server", "--save", "", "--appendonly", "no", *options)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it without data, and wait until clients can connect."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        lines: list[str] = []
        for line in self._process.stdout:
            lines.append(line)
            if "eady to accept connections" in line:
                return
        raise AssertionError("".join(lines))

    def kill(self) -> None:
        """Kill it, which closes its connections."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def hang(self) -> None:
        """Suspend it: it keeps its connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Resume it after `hang`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_on_socket(directory: Path) -> Generator[tuple[RedisServer, str]]:
    """Run a Redis on a Unix socket in this directory; yield it and its URL."""
    path = directory / "redis.sock"
    with _running(RedisServer("--port", "0", "--unixsocket", str(path), "--dir", str(directory))) as server:
        yield server, f"unix://{path}"


@contextmanager
def redis_on_port(directory: Path, password: str) -> Generator[tuple[RedisServer, str]]:
    """Run a Redis with a password on a free port; yield it and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--port", str(port), "--requirepass", password, "--dir", str(directory))
    with _running(RedisServer(*options)) as server:
        yield server, f"redis://:{password}@127.0.0.1:{port}/0"


@contextmanager
def _running(server: RedisServer) -> Generator[RedisServer]:
    try:
        server.start()
        yield server
    finally:
        server.kill()
