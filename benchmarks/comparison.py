"""Measure everything that is compared, in rounds in which the servers take turns."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.agreement import agree, compare_answers
from benchmarks.deployments import serving
from benchmarks.figures import Series
from benchmarks.goals import API, DIRECT, FASTMCP, OURS, VALIDATED, Samples
from benchmarks.messages import ADDRESS, CALLS
from benchmarks.peers import Peer, environment
from benchmarks.processes import BenchmarkError, output, say
from benchmarks.scenarios import SCENARIOS, ceiling_target, target
from benchmarks.stub import ROUTE, inkbox_stub
from benchmarks.wrk import Target, load

CLIENTS = 16
PATIENCE = 120.0
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Plan:
    """The extent of each round: the number of starts, of starts with a call, and the seconds of calls."""

    rounds: int
    starts: int
    first_results: int
    seconds: int


class Comparison:
    """A run: the servers, a running Inkbox, and the measurements so far."""

    def __init__(self, plan: Plan, peers: list[Peer], directory: Path, stack: ExitStack) -> None:
        """Start the servers that are called in every round.

        Raises:
            BenchmarkError: a program is missing, or the servers do not do the same work.
        """
        self._plan, self._peers, self._directory = plan, peers, directory
        self._origin = stack.enter_context(inkbox_stub(directory))
        self.samples: Samples = {}
        self._compare_stdio()
        named = {peer.name: peer for peer in peers}
        services = [
            stack.enter_context(serving(named[name], "sessions", self._origin, directory)) for name in (OURS, FASTMCP)
        ]
        compare_answers(services)
        self._targets = {service.peer.name: target(SCENARIOS[0], service, CLIENTS, directory) for service in services}
        for warmed in self._targets.values():
            load(warmed, CLIENTS, 1)

    def run(self) -> None:
        """Measure everything.

        Raises:
            BenchmarkError: an answer was wrong.
        """
        steps = [step for number in range(self._plan.rounds) for step in self._round(number)]
        for number, (what, step) in enumerate(steps, 1):
            say(f"{number}/{len(steps)}  {what}")
            step()

    def _round(self, number: int) -> list[tuple[str, Callable[[], None]]]:
        plan, forth = self._plan, 1 if number % 2 else -1  # the order is reversed in every second round
        peers, targets = self._peers[::forth], list(self._targets.items())[::forth]
        steps: list[tuple[str, Callable[[], None]]] = [
            *[("starts", lambda: self._each(peers, "start"))] * plan.starts,
            *[("first results", lambda: self._each(peers, "first"))] * plan.first_results,
            ("HTTPX2 alone", self._direct),
            *((f"{peer.name} over stdio", partial(self._each, [peer], "steady")) for peer in peers),
            *((f"{name} over HTTP", partial(self._load, name, called)) for name, called in targets),
            ("pages of long lists", self._lists),
        ]
        if number == 0:
            steps.append(("wrk alone", lambda: self._load("nginx", ceiling_target(self._origin))))
        return [(f"round {number + 1}/{plan.rounds}: {what}", step) for what, step in steps]

    def _compare_stdio(self) -> None:
        """Compare the answers of all servers. This start also makes this server's recording."""
        api = httpx2.get(f"{self._origin}{ROUTE}/{ADDRESS}").raise_for_status().content
        self._note("result_bytes", API, len(api))
        answers = {peer.name: self._client(peer, "answers") for peer in self._peers}
        for tool, _ in CALLS:
            agree(tool, {name: answer["data"][tool] for name, answer in answers.items()})
        for name, answer in answers.items():
            self._note("result_bytes", name, answer["text"])
        for peer in self._peers:
            self._note("list_bytes", peer.name, self._client(peer, "start")["list_bytes"])

    def _each(self, peers: list[Peer], measure: str) -> None:
        for peer in peers:
            shown = self._client(peer, measure)
            for name, value in shown.items():
                # The processor time of an unused session comes only from a session without a call.
                if name != "list_bytes" and (name != "cpu" or measure == "start"):
                    self._note(name, peer.name, value)

    def _client(self, peer: Peer, measure: str) -> dict[str, Any]:
        job = {
            "command": peer.stdio,
            "environment": environment(self._origin, self._directory),
            "log": str(self._directory / f"{peer.name}-stdio.log"),
            "measure": measure,
            "seconds": self._plan.seconds,
        }
        try:
            return json.loads(self._python("client", json.dumps(job)))
        except BenchmarkError as error:
            raise BenchmarkError(f"{peer.name}: {error}") from None

    def _direct(self) -> None:
        self._note("p50", DIRECT, json.loads(self._python("direct", self._origin, str(self._plan.seconds))))

    def _load(self, name: str, called: Target) -> None:
        self._note("http_calls_per_second", name, load(called, CLIENTS, self._plan.seconds).calls_per_second)

    def _lists(self) -> None:
        for size, taken in json.loads(self._python("listing")).items():
            self._note(f"page_of_{size}", OURS, taken["paged"])
            self._note(f"page_of_{size}", VALIDATED, taken["validated"])
            self._note(f"each_of_{size}", OURS, taken["paged"] / int(size) * 1000)

    def _python(self, module: str, *arguments: str) -> str:
        return output([sys.executable, "-m", f"benchmarks.{module}", *arguments], PATIENCE, _ROOT)

    def _note(self, measure: str, who: str, value: float) -> None:
        self.samples.setdefault((measure, who), Series()).values.append(value)
