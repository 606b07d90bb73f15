"""Which tools a caller can call: those of its organization's generation of the API that the operator offers.

A call by another name still gets an answer that helps, and no text names a tool that cannot be called.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from inkbox_mcp.access.scopes import EVERYTHING, SCOPES, needed
from inkbox_mcp.api.generations import DEFAULT, Generation
from inkbox_mcp.errors import InkboxError, NotOffered, OperationMoved
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.toolkit.bounds import MAX_NAME
from inkbox_mcp.toolkit.operation import Operation
from inkbox_mcp.tools import operations

GENERATIONS: tuple[Generation, ...] = get_args(Generation)

WITH_SCOPE = "Tell the user that this needs an access token with that scope."

# A sentence or a clause, with the space after it.
_PIECE = re.compile(r".+?(?:[.?!;](?=\s)\s*|$)", re.DOTALL)


class UnknownTool(Exception):
    """There is no tool of this name; the message names similar ones."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The tools that a caller can call.

    Attributes:
        generation: of the API that they are for.
        tools: by name, in the order of the list.
        others: the names of all other tools, of both generations.
    """

    generation: Generation
    tools: Mapping[str, Operation[Any, Any]]
    others: frozenset[str]

    def about(self, text: str) -> str:
        """Return a text without the sentences and clauses that name other tools."""
        if self._names_none_of_the_others(text):
            return text
        left = "".join(filter(self._names_none_of_the_others, _PIECE.findall(text))).rstrip()
        return f"{left[:-1]}." if left.endswith(";") else left

    def description(self, operation: Operation[Any, Any]) -> str:
        """Return a tool's description."""
        return self.about(operation.description)

    def input_schema(self, operation: Operation[Any, Any]) -> dict[str, Any]:
        """Return the JSON Schema of a tool's arguments."""
        fields = operation.input_schema["properties"].items()
        return {
            **operation.input_schema,
            "properties": {name: self._described(field) for name, field in fields},
        }

    def _described(self, field: dict[str, Any]) -> dict[str, Any]:
        arms = {"anyOf": [self._described(arm) for arm in field["anyOf"]]} if "anyOf" in field else {}
        text = {"description": self.about(field["description"])} if "description" in field else {}
        return {**field, **arms, **text}

    def _names_none_of_the_others(self, text: str) -> bool:
        return self.others.isdisjoint(re.findall(r"\w+", text))


class Catalogues:
    """The catalogues of a server.

    Attributes:
        names: of all tools, of both generations.

    Args:
        settings: name the tools that the operator offers.
        tools_of: returns all tools of a generation by name.

    Raises:
        SettingsError: a name is not a tool's or a toolset's (it may be a misspelt one that should be off), or no tool
            is left.
    """

    def __init__(
        self, settings: Settings, tools_of: Callable[[Generation], Mapping[str, Operation[Any, Any]]] = operations
    ) -> None:
        self._settings = settings
        self._all: dict[Generation, Mapping[str, Operation[Any, Any]]] = {each: tools_of(each) for each in GENERATIONS}
        self.names = frozenset(name for tools in self._all.values() for name in tools)
        _require_known("tool", [*settings.tools, *settings.exclude_tools], self.names)
        toolsets = {tool.toolset for tools in self._all.values() for tool in tools.values()}
        _require_known("toolset", settings.toolsets, toolsets)
        self._found: dict[tuple[Generation, frozenset[str]], Catalogue] = {}
        if not any(self.of(each).tools for each in GENERATIONS if settings.generation in {None, each}):
            raise SettingsError("--toolsets, --tools, --exclude-tools and --read-only together leave no tool")

    def of(self, generation: Generation | None, scopes: frozenset[str] = EVERYTHING) -> Catalogue:
        """Return what a caller can call.

        Args:
            generation: of the caller's organization; None if it is not known.
            scopes: of the caller, with all that they include, so that there are few different ones.
        """
        key = (generation or DEFAULT, scopes)
        if key not in self._found:
            allowed = {name: tool for name, tool in self._all[key[0]].items() if needed(tool) & scopes}
            left = {name: tool for name, tool in allowed.items() if not self._why_off(tool)}
            self._found[key] = Catalogue(key[0], left, self.names - left.keys())
        return self._found[key]

    def scopes_for(self, name: str) -> frozenset[frozenset[str]]:
        """Return what a call by this name needs: of each set of scopes one.

        It is nothing if there is no such tool, or it is switched off.
        """
        offered = [self.of(each).tools for each in GENERATIONS]
        return frozenset(needed(tools[name]) for tools in offered if name in tools)

    def find(self, name: str, generation: Generation | None, scopes: frozenset[str]) -> Operation[Any, Any]:
        """Return the tool that a caller calls.

        Raises:
            NotOffered: the operator has switched it off, or the caller lacks its scope.
            OperationMoved: the organization has no such operation.
            UnknownTool: there is no such tool.
        """
        catalogue = self.of(generation, scopes)
        if name in catalogue.tools:
            return catalogue.tools[name]
        if name in self._all[catalogue.generation]:
            raise self._refusal(self._all[catalogue.generation][name])
        if name in catalogue.others:
            raise OperationMoved(catalogue.about(self._anywhere(name).moved))
        meant = self._meant(name[:MAX_NAME], catalogue, scopes)
        raise UnknownTool(f"Unknown tool {name[:MAX_NAME]!a}. {meant}The tools are: {', '.join(catalogue.tools)}.")

    def _meant(self, name: str, catalogue: Catalogue, scopes: frozenset[str]) -> str:
        """Return the question whether a similar tool was meant, and why that one cannot be called."""
        near = difflib.get_close_matches(name, sorted(self.names), n=3)
        if near and near[0] not in catalogue.tools:
            try:
                self.find(near[0], catalogue.generation, scopes)
            except InkboxError as error:
                return f"{error.explain(near[0], about=catalogue.about)} "
        near = [each for each in near if each in catalogue.tools]
        return f"Did you mean {' or '.join(near)}? " if near else ""

    def anywhere(self, name: str) -> Operation[Any, Any] | None:
        """Return the offered tool of a name in any generation."""
        return next((self.of(each).tools[name] for each in GENERATIONS if name in self.of(each).tools), None)

    def counterpart(self, operation: Operation[Any, Any]) -> Operation[Any, Any] | None:
        """Return the tool of this name that the other generation has, if it is not the same."""
        named = [tools[operation.name] for tools in self._all.values() if operation.name in tools]
        return next((other for other in named if other is not operation), None)

    def sends_otherwise(self, operation: Operation[Any, Any]) -> bool:
        """Whether the other generation refuses what this tool sends. Both show the same objects at the same paths."""
        is_everywhere = all(operation.name in tools for tools in self._all.values())
        return not is_everywhere or (self.counterpart(operation) is not None and not operation.hints.read_only)

    def moved(self, operation: Operation[Any, Any], generation: Generation | None) -> str | None:
        """Describe what does an operation in a generation; None if the operation itself does."""
        here = self._all[generation or DEFAULT].get(operation.name)
        if here is operation:
            return None
        if here is None:
            return operation.moved
        takes = ", ".join(here.args.model_fields)
        return f"The tools have changed since they were listed. Next: list them again. {here.name} takes {takes} now."

    def _anywhere(self, name: str) -> Operation[Any, Any]:
        return next(tools[name] for tools in self._all.values() if name in tools)

    def _refusal(self, operation: Operation[Any, Any]) -> NotOffered:
        """Say why a caller cannot call a tool: it is off, or its scope is missing."""
        if why := self._why_off(operation):
            return NotOffered(why)
        scopes = " or ".join(scope for scope in SCOPES if scope in needed(operation))
        why = f"{operation.name} needs the scope {scopes}, which your access token does not have"
        return NotOffered(why).advised(WITH_SCOPE)

    def _why_off(self, operation: Operation[Any, Any]) -> str:
        """Return why the operator offers nobody a tool; empty if it is offered."""
        settings, name = self._settings, operation.name
        is_left_out = settings.tools and name not in settings.tools
        is_elsewhere = settings.toolsets and operation.toolset not in {None, *settings.toolsets}
        if name in settings.exclude_tools or is_left_out or is_elsewhere:
            return f"{name} is switched off on this server"
        if settings.read_only and not operation.hints.read_only:
            return f"this server is read-only, and {name} changes something"
        return ""


def _require_known(kind: str, names: Iterable[str], known: Iterable[str | None]) -> None:
    """Refuse a name that nothing has.

    Raises:
        SettingsError: names it, and all that exist.
    """
    for name in names:
        if name not in known:
            raise SettingsError(f"{name}: no such {kind}; the {kind}s are {', '.join(sorted(filter(None, known)))}")
