"""HAProxy with the deployed configuration, in front of replicas on this machine."""

import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.replicas.machine import Machine, Program

DEPLOYED = Path(__file__).parent.parent.parent.parent / "deploy" / "haproxy.cfg"
STICKY = ("stick-table ", "stick store-response ", "stick match ")


class Balancer:
    """A running HAProxy, which logs each request and each change of a replica's state."""

    def __init__(self, program: Program, url: str) -> None:
        self.url = url
        self._program = program

    @property
    def log(self) -> list[str]:
        """The lines of its log."""
        return self._program.log

    async def sees(self, name: str, state: str, after: int) -> None:
        """Wait until its log reports a replica as UP or DOWN, in line `after` or later."""
        await self._program.logs(f"Server replicas/{name} is {state}", after=after)


async def balance(
    machine: Machine, ports: Sequence[str], *, sticky: bool = False, changes: Mapping[str, str] | None = None
) -> Balancer:
    """Start HAProxy in front of the replicas `mcp-1`, `mcp-2`, ... on these ports.

    Args:
        machine: the machine that runs it.
        ports: the ports of the replicas.
        sticky: whether a session stays with the replica that opened it.
        changes: replacements in the deployed configuration, old text to new text.
    """
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "haproxy is not installed"
    # The socket listens before HAProxy runs, so connections wait and the test need not.
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        text = configuration(listener.fileno(), ports, sticky=sticky, changes=changes or {})
        file = machine.home / "haproxy.cfg"
        file.write_text(text)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = await machine.run(program, "-db", "-f", str(file), fds=(listener.fileno(),))
    return Balancer(started, url)


def configuration(listener: int, ports: Sequence[str], *, sticky: bool, changes: Mapping[str, str]) -> str:
    """Adapt the deployed configuration to this machine; fail if a text to replace is missing."""
    text = DEPLOYED.read_text(encoding="utf-8")
    text, resolvers = re.subn(r"(?m)^resolvers docker\n(?:[ \t].*\n)+", "", text)
    text, servers = re.subn(r"(?m)^ +server mcp-\d.*\n?", "", text)
    assert resolvers == 1
    assert servers >= 3
    everywhere = {
        " resolvers docker init-addr libc,none": "",
        "bind :8000": f"bind fd@{listener}",
        **{f"# {line}": line for line in STICKY if sticky},
        **changes,
    }
    for old, new in everywhere.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text + "".join(f"    server mcp-{number} 127.0.0.1:{port}\n" for number, port in enumerate(ports, 1))
