"""Servers as they are deployed: one process, or several replicas behind HAProxy."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.peers import Peer, environment
from benchmarks.processes import BenchmarkError, free_port, memory, require, running

Shape = Literal["sessions", "stateless", "replicas"]
COPIES = 3
"""Number of replicas."""

# The settings of `deploy/haproxy.cfg` that affect speed.
_BALANCER = """
global
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-server-close
frontend clients
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  balance leastconn
{servers}
"""


@dataclass(frozen=True)
class Service:
    """A running server: the address for clients, and its processes without the balancer."""

    peer: Peer
    shape: Shape
    origin: str
    processes: list[int]

    @property
    def memory(self) -> float:
        """The server's resident memory in MiB."""
        return sum(map(memory, self.processes))


@contextmanager
def serving(
    peer: Peer, shape: Shape, upstream: str, directory: Path, options: Sequence[str] = ()
) -> Generator[Service]:
    """Start a server in one of its shapes, and end it even after an error.

    Args:
        peer: the server.
        shape: with sessions or without, one process or several.
        upstream: the origin of the server's Inkbox.
        directory: the place of logs and configurations.
        options: of its command line.

    Raises:
        BenchmarkError: the server does not start, or HAProxy is missing.
    """
    if peer.http is None:
        raise BenchmarkError(f"{peer.name} serves stdio only")
    variables = environment(upstream, directory)
    if "--per-request-keys" in options:
        del variables["INKBOX_API_KEY"]
    with ExitStack() as stack:
        ports: list[int] = []
        processes: list[int] = []
        for number in range(COPIES if shape == "replicas" else 1):
            port = free_port()
            command = [*peer.http(port, shape != "sessions"), *options]
            log = directory / f"{peer.name}-{shape}-{number}.log"
            processes.append(stack.enter_context(running(command, [port], log, variables)))
            ports.append(port)
        front = stack.enter_context(_balancer(peer, ports, directory)) if shape == "replicas" else ports[0]
        yield Service(peer, shape, f"http://127.0.0.1:{front}", processes)


@contextmanager
def _balancer(peer: Peer, ports: list[int], directory: Path) -> Generator[int]:
    haproxy, front = require("haproxy"), free_port()
    servers = [f"  server replica{number} 127.0.0.1:{port} check" for number, port in enumerate(ports)]
    if peer.health:
        servers.insert(0, f"  option httpchk GET {peer.health}")
    config = directory / f"{peer.name}-haproxy.cfg"
    config.write_text(_BALANCER.format(port=front, servers="\n".join(servers)))
    with running([haproxy, "-db", "-f", str(config)], [front], config.with_suffix(".log")):
        yield front
