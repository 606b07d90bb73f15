"""Scenarios of HTTP clients and servers, and the calls that `wrk` makes for them."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks import eras
from benchmarks.deployments import COPIES, Service, Shape
from benchmarks.messages import LEGACY, MODERN, Era, template
from benchmarks.stub import ECHO
from benchmarks.wrk import Target

TOOL = "get_mailbox"


@dataclass(frozen=True)
class Scenario:
    """Clients of an era, and the shape of the server that they call."""

    title: str
    era: Era
    shape: Shape


SCENARIOS = [
    Scenario("2026-07-28, one process", MODERN, "sessions"),
    Scenario("2025-11-25 with sessions, one process", LEGACY, "sessions"),
    Scenario("2025-11-25 without sessions, one process", LEGACY, "stateless"),
    Scenario(f"2026-07-28, {COPIES} replicas behind HAProxy", MODERN, "replicas"),
    Scenario(f"2025-11-25 without sessions, {COPIES} replicas behind HAProxy", LEGACY, "replicas"),
]


def target(scenario: Scenario, service: Service, clients: int, directory: Path) -> Target:
    """Return the target for `wrk` in a scenario; open a session for each client if the scenario needs sessions."""
    name = f"{service.peer.name}, {scenario.title}"
    sessions = None
    if scenario.era == LEGACY and scenario.shape == "sessions":
        sessions = directory / f"{service.peer.name}.sessions"
        sessions.write_text("\n".join(eras.open_sessions(service.origin, clients)))
    headers = eras.headers(scenario.era, TOOL)
    return Target(name, service.origin, eras.PATH, template(scenario.era, TOOL), headers, sessions)


def ceiling_target(stub: str) -> Target:
    """Return the target that calls nginx alone, to measure the limit of `wrk`."""
    return Target("nginx", stub, f"{ECHO}/%d/%s", template(MODERN, TOOL), eras.headers(MODERN, TOOL))
