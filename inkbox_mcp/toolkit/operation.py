"""A tool is a typed function. Its name, docstring, argument model and result model are the whole declaration.

The `operation` decorator turns such a function into an `Operation`, which describes itself (`description` and schemas),
checks a call's arguments (`parse`) and runs (`run`).
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from inspect import cleandoc
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema
from pydantic_core.core_schema import list_schema

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.errors import About, InkboxError
from inkbox_mcp.toolkit.arguments import Args, checked
from inkbox_mcp.toolkit.bounds import MAX_RESULT
from inkbox_mcp.toolkit.content import Block
from inkbox_mcp.toolkit.marks import Mark, marks, texts
from inkbox_mcp.toolkit.questions import Question, arguments_in, question
from inkbox_mcp.toolkit.schema import argument_schema, result_schema


@dataclass(frozen=True)
class Hints:
    """MCP's hints about a tool's effects. An open world is one of people who are no part of the organization."""

    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False

    @property
    def is_final(self) -> bool:
        """Whether no other call of the same tool undoes a call: it makes or deletes something."""
        return self.destructive or not (self.read_only or self.idempotent)


READ_ONLY = Hints(read_only=True, idempotent=True)
ADDITIVE = Hints()
IDEMPOTENT = Hints(idempotent=True)
DESTRUCTIVE = Hints(destructive=True, idempotent=True)
SENDING = Hints(open_world=True)

DEFAULT_TOOLSET = "mailboxes"
"""The toolset of the tools in a file that names none."""

Also = Mapping[str, Any]
"""Types of fields by their names; see `inkbox_mcp.toolkit.sent`."""


class Result(BaseModel):
    """A tool's result: the declared fields, and all other fields that the API sends, unchanged.

    Fields that the API does not send stay absent. Fields that our code does not read are declared in `also`: they are
    published in the schema, and passed on like unknown ones. A model that is used in `also` declares its fields there.
    """

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    also: ClassVar[Also] = {}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the fields in `also`."""
        published = handler(core_schema)
        # As an item of a list, because the handler itself would leave out what a result in `also` adds.
        also = {
            name: handler(list_schema(TypeAdapter[Any](kind).core_schema))["items"] for name, kind in cls.also.items()
        }
        whole = handler.resolve_ref_schema(published)
        whole["properties"] = {**whole.get("properties", {}), **also}
        return published

    def sent(self, field: str) -> Any:
        """Return an undeclared field that the API sent; None if it did not."""
        return (self.model_extra or {}).get(field)

    def blocks(self) -> Sequence[Block]:
        """Return content blocks to show besides the data. Results with such content override this."""
        return ()


TimeLimit = float | Callable[[Any], float] | None

LookUp = Callable[[InkboxAPI, Any, Any], Awaitable[str | None]]
"""Returns advice for a call's arguments and its error; None if nothing better than the general advice was found."""

Confirm = str | Callable[[Any], str | None] | None

Unasked = bool | Callable[[InkboxAPI, Any], Awaitable[bool]]
"""Whether a call with these arguments needs no question where the operator does not want one before every call."""

Facts = Callable[[InkboxAPI, Any], Awaitable[Mapping[str, str]]]
"""Asks the API for what a question shows beside the arguments, by the names that the question has in braces."""

A = TypeVar("A", bound=Args)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True, eq=False)
class Operation(Generic[A, R]):
    """One tool: its declaration and its calls.

    Attributes:
        function: the coroutine function that calls the API.
        args: the model of its arguments.
        result: the model of its result.
        hints: one of READ_ONLY, ADDITIVE, IDEMPOTENT, DESTRUCTIVE, SENDING.
        advice: what to do next after an error of a class, if the operation knows better than the class.
        lookups: functions that ask the API for better advice after an error of a class.
        confirm: the question to the human, with arguments in braces; if it depends on the arguments, a function of them
            that returns it.
        facts: asks the API for what the question shows beside the arguments.
        unasked: whether a call needs no question with `--confirm auto`, or a function that finds that out.
        moved: the tool and arguments to use in a generation of the API that has no tool of this name.
        changes: the names of arguments that name the changed things. Calls that change the same thing take turns.
        max_result: the most bytes of a result's text and content blocks.
        waits: for a tool that waits until something happens, the seconds that a call may take, or a function of the
            arguments that returns them. None for other tools, whose time limit is `--timeout`.
        reports: whether the tool reports progress to clients that ask for it.

    Raises:
        TypeError: an argument's type has no mark (`inkbox_mcp.toolkit.marks`), or an option names an unknown argument.
    """

    function: Callable[[InkboxAPI, A], Awaitable[R]]
    args: type[A]
    result: type[R]
    hints: Hints
    advice: Mapping[type[InkboxError], str]
    lookups: Mapping[type[InkboxError], LookUp]
    confirm: Confirm
    changes: tuple[str, ...]
    moved: str
    max_result: int
    facts: Facts | None = None
    unasked: Unasked = False
    waits: TimeLimit = None
    reports: bool = False

    def __post_init__(self) -> None:
        """Check the declaration."""
        text = [name for name, mark in marks(self.args).items() if mark is not Mark.WITH_MAILBOX]
        self._require_arguments("changes", self.changes, text)
        self._require_arguments("nullable", self.args.nullable, self.args.model_fields)
        self._require_arguments("never_empty", self.args.never_empty, self.args.model_fields)
        if isinstance(self.confirm, str) and self.facts is None:
            self._require_arguments("confirm", arguments_in(self.confirm), self.args.model_fields)

    @property
    def name(self) -> str:
        """The tool's name, `verb_noun`."""
        return self.function.__name__

    @property
    def toolset(self) -> str | None:
        """The toolset that its file names as `TOOLSET`; None if the tool goes with all of them."""
        return getattr(sys.modules.get(self.function.__module__), "TOOLSET", DEFAULT_TOOLSET)

    @property
    def title(self) -> str:
        """The tool's name for people."""
        return self.name.replace("_", " ").capitalize()

    @property
    def description(self) -> str:
        """The description for models, in one paragraph."""
        return " ".join(cleandoc(self.function.__doc__ or "").split())

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        return argument_schema(self.args.model_json_schema(), self.args.nullable)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema of its result."""
        schema = result_schema(self.result.model_json_schema(mode="serialization"))
        if not self.hints.read_only:  # see `inkbox_mcp.toolkit.results`
            schema["properties"].setdefault("note", {"type": ["string", "null"]})
        return schema

    def may_ask(self, confirm: str) -> bool:
        """Whether a call may need the human's consent; `confirm` is the operator's `--confirm`."""
        return confirm != "never" and self.confirm is not None and not (confirm == "auto" and self.unasked is True)

    def is_plain(self, confirm: str, *, wants_progress: bool) -> bool:
        """Whether a call needs nothing from its client but to read the answer.

        Args:
            confirm: the operator's `--confirm`.
            wants_progress: whether the client asks for reports.
        """
        return not (self.may_ask(confirm) or (self.reports and wants_progress))

    def time_limit(self, args: A) -> float | None:
        """Return the seconds that a call may take; None for `--timeout`."""
        return self.waits(args) if callable(self.waits) else self.waits

    def parse(self, arguments: Mapping[str, Any] | None) -> A:
        """Check a call's arguments.

        Raises:
            InvalidArguments: names all bad arguments.
        """
        return checked(self.args, self.name, arguments or {})

    async def run(self, api: InkboxAPI, args: A) -> R:
        """Call the API.

        Raises:
            InkboxError: the call failed; `explain` describes it for the model.
        """
        names = [text.partition("@")[0].casefold() for name in self.changes for _, text in texts(args, name)]
        async with self._looking_up(api, args), api.alone(*names):
            return await self.function(api, args)

    @asynccontextmanager
    async def _looking_up(self, api: InkboxAPI, args: A) -> AsyncGenerator[None]:
        """Look for better advice after an error."""
        try:
            yield
        except InkboxError as error:
            look_up = next((function for kind, function in self.lookups.items() if isinstance(error, kind)), None)
            if look_up and error.looked_up is None:
                with suppress(InkboxError):
                    error.looked_up = await look_up(api, args, error)
            raise

    async def question(self, api: InkboxAPI, args: A, confirm: str = "always") -> Question | None:
        """Return the question to the human before this call, if any.

        Args:
            api: of the caller.
            args: of the call.
            confirm: the operator's `--confirm`.

        Raises:
            InkboxError: what the question shows could not be read.
        """
        template = self.confirm(args) if callable(self.confirm) else self.confirm
        if not template:
            return None
        if self.facts is None:
            return question(self.name, template, args.supplied())
        async with self._looking_up(api, args):
            if confirm == "auto" and callable(self.unasked) and await self.unasked(api, args):
                return None
            facts = await self.facts(api, args)
        return question(self.name, template, {**facts, **args.supplied()})

    def explain(self, error: InkboxError, about: About = str) -> str:
        """Describe a failed call of this operation for the model.

        Args:
            error: why it failed.
            about: removes what names tools that the model cannot call.
        """
        advice = next((text for kind, text in self.advice.items() if isinstance(error, kind)), None)
        return error.explain(self.name, advice, about)

    def _require_arguments(self, option: str, names: Iterable[str], arguments: Iterable[str]) -> None:
        """Refuse an option that names other arguments."""
        if others := sorted({*names} - {*arguments}):
            raise TypeError(f"{self.name}: {option} names {', '.join(others)}, and can name {', '.join(arguments)}")


def operation(
    hints: Hints,
    *,
    advice: Mapping[type[InkboxError], str] | None = None,
    lookups: Mapping[type[InkboxError], LookUp] | None = None,
    confirm: Confirm = None,
    changes: tuple[str, ...] = (),
    moved: str = "",
    facts: Facts | None = None,
    unasked: Unasked = False,
    max_result: int = MAX_RESULT,
    waits: TimeLimit = None,
    reports: bool = False,
) -> Callable[[Callable[[InkboxAPI, A], Awaitable[R]]], Operation[A, R]]:
    """Make a tool of an `async def verb_noun(api, args: Args) -> Result`.

    Args:
        hints: one of READ_ONLY, ADDITIVE, IDEMPOTENT, DESTRUCTIVE, SENDING.
        advice: what the model should do next after an error of a class.
        lookups: functions of the API, the arguments and the error, which return better advice or None.
        confirm: the question to the human before the call, such as `Delete {email_address}?`; see `Operation`.
        changes: the names of arguments that name the changed things.
        moved: the tool and arguments to use in a generation of the API that has no tool of this name.
        facts: a function of the API and the arguments that returns what the question shows beside them.
        unasked: whether a call needs no question with `--confirm auto`, or a function of the API and the arguments
            that finds that out.
        max_result: bytes of a result's text and its content blocks.
        waits: for a tool that waits until something happens, the seconds that a call may take, or a function of the
            arguments that returns them. `Call.pause` returns False when the tool must answer.
        reports: whether the tool calls `Call.report`.

    Raises:
        TypeError: a destructive operation has no question, or one that waits has `changes`; or see `Operation`.
    """
    if hints.destructive and not confirm:
        raise TypeError("a destructive operation needs a question to the human: pass confirm")
    if waits is not None and changes:
        raise TypeError("an operation that waits would keep all others from what it changes: leave out changes")

    def declare(function: Callable[[InkboxAPI, A], Awaitable[R]]) -> Operation[A, R]:
        types = get_type_hints(function)
        args, result = types["args"], types["return"]
        return Operation(
            function,
            args,
            result,
            hints,
            advice or {},
            lookups or {},
            confirm,
            changes,
            moved,
            max_result,
            facts,
            unasked,
            waits,
            reports,
        )

    return declare
