"""A reader that knows only what answers tell it about Inkbox, and follows their advice."""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.support.agents import Agent, text
from tests.support.catalogue import CATALOGUES

_PROPOSAL = re.compile(r"\bcall (?P<tool>[a-z]+(?:_[a-z]+)+|whoami)(?: with (?P<arguments>[^.;(]+))?", re.IGNORECASE)
_ARGUMENT = re.compile(r"(?P<another>another |that )?(?P<name>[a-z]+(?:_[a-z]+)+|status)")
_NAMED = re.compile(r'agent_handle "([^"]+)"')
_MEANT = re.compile(r'Did you mean "([^"]+)"')
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True)
class Proposal:
    """A next call that an answer proposes: a tool and the arguments to pass."""

    tool: str
    arguments: tuple[str, ...]
    other: frozenset[str]
    """The arguments that need another value than before."""


def proposals(advice: str, generation: str) -> list[Proposal]:
    """Parse the proposed calls from an error's text.

    Args:
        advice: the text.
        generation: whose tools it may name.

    Raises:
        AssertionError: the text names a tool or an argument that does not exist.
    """
    found: list[Proposal] = []
    for match in _PROPOSAL.finditer(advice):
        operation = CATALOGUES[generation].tools.get(match["tool"])
        assert operation, f"no such tool: {match[0]!r}"
        said = re.split(r"\bcall\b|\bwithout\b|\bto see\b|\bif\b|\bor\b", match["arguments"] or "")[0]
        named = list(_ARGUMENT.finditer(said))
        for argument in named:
            assert argument["name"] in operation.args.model_fields, f"{match['tool']} takes no {argument['name']}"
        others = frozenset(argument["name"] for argument in named if argument["another"] == "another ")
        found.append(Proposal(match["tool"], tuple(argument["name"] for argument in named), others))
    return found


@dataclass
class Follower:
    """Makes calls, remembers values from calls and answers, and follows the first proposal that it can.

    Attributes:
        agent: makes the calls.
        generation: of its organization.
        knows: known values by argument name.
        fresh: values to use when an answer asks for another one.
        made: the called tools, in order.
    """

    agent: Agent
    generation: str = "spec"
    knows: dict[str, Any] = field(default_factory=dict[str, Any])
    fresh: dict[str, Any] = field(default_factory=dict[str, Any])
    made: list[str] = field(default_factory=list[str])

    async def reach(self, tool: str, **arguments: Any) -> Any:
        """Make a call and follow the answers until a call succeeds; return its data."""
        self.knows |= arguments
        for _ in range(6):
            self.made.append(tool)
            result = await self.agent.call(tool, **arguments)
            if not result.is_error:
                self._learn(result.structured_content)
                return result.structured_content
            advice = text(result)
            if address := _ADDRESS.search(advice):
                self.knows["email_address"] = address[0]
            if handle := _NAMED.search(advice):
                self.knows["agent_handle"] = handle[1]
            if meant := _MEANT.search(advice):
                name = "agent_handle" if "agent_handle" in advice else "email_address"
                arguments = arguments | {name: meant[1]}
            else:
                tool, arguments = self._choose(advice, tool, arguments)
        raise AssertionError(f"{' → '.join(self.made)} leads nowhere")

    def _choose(self, advice: str, tool: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        for proposal in proposals(advice, self.generation):
            values = {
                name: (self.fresh if name in proposal.other else self.knows).get(name) for name in proposal.arguments
            }
            if None in values.values():
                continue
            kept = arguments if proposal.tool == tool and proposal.other else {}
            if (proposal.tool, kept | values) != (tool, arguments) or "again" in advice:
                return proposal.tool, (arguments if not values and proposal.tool == tool else kept | values)
        raise AssertionError(f"{tool} gives no advice that can be followed: {advice}")

    def _learn(self, data: dict[str, Any]) -> None:
        self.knows |= {name: data[name] for name in ("agent_handle", "email_address") if data.get(name)}
