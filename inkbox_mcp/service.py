"""The corridor: a tool call in, an answer out, whichever way it came.

Calls come from `inkbox_mcp.protocol.server`, which the MCP SDK calls, or, as plain calls over stdio, from
`inkbox_mcp.stdio.direct`, which does without the SDK: nothing here may need it.
"""

import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
from pydantic_core import to_json

from inkbox_mcp.access.pins import PinnedAPI
from inkbox_mcp.access.tenants import KEY_HEADER, Caller, Tenants
from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.calls import Call, Report, begin, current
from inkbox_mcp.errors import CannotAsk, Declined, InkboxError, TimedOut, Unauthorized, machine_fields
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.toolkit.content import Block, without_key
from inkbox_mcp.toolkit.operation import Args, Operation, Result
from inkbox_mcp.toolkit.progress import Progress
from inkbox_mcp.toolkit.questions import Question
from inkbox_mcp.toolkit.results import readable
from inkbox_mcp.tools import all_operations

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")

MAX_QUESTIONS = 3
"""How often one call asks, where what it would do changes while the human thinks: an API may do so for ever."""

SECONDS_TO_ANSWER = 1.0
"""How long a tool that waits may take to answer when its time is over; its requests end before."""


@dataclass(frozen=True)
class Answer:
    """What a call came to.

    Attributes:
        text: what the model reads.
        data: the same as an object; None for a failure.
        meta: what programs want to know of a failure.
        blocks: what the model is shown besides the text.
    """

    text: str
    data: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    blocks: tuple[Block, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether the call failed."""
        return self.data is None


class Bug(Exception):
    """A call hit a bug; its place is in the log, nothing of it in here.

    Attributes:
        data: for the `data` of a JSON-RPC error.
    """

    def __init__(self, tool: str, request_id: str) -> None:
        super().__init__(f"{tool} hit a bug in inkbox-mcp.")
        self.data = {"request_id": request_id}


async def cannot_ask(_: Question) -> None:
    """Refuse what needs a human, where there is none.

    Raises:
        CannotAsk: always.
    """
    raise CannotAsk


class Service:
    """The tools of a server, and the way to what they work on; nothing is opened until one is called.

    Attributes:
        settings: see `inkbox_mcp.settings.options`.
        operations: the tools that it offers, by their names.
        tenants: the way to what they work on; whoever runs the service enters and leaves it.
        ending: set by whoever runs the service when it is about to stop: calls that wait answer then.

    Args:
        settings: see `inkbox_mcp.settings.options`.
        transport: another way to reach the API than the settings name; for tests and embedding.
        metrics: where calls and requests are counted.

    Raises:
        SettingsError: the settings name a tool that does not exist, or a store that cannot be used.
    """

    def __init__(
        self, settings: Settings, transport: TransportFactory | None = None, metrics: Metrics | None = None
    ) -> None:
        self.settings = settings
        self.operations = offered(settings)
        self._harmless = {name: tool for name, tool in self.operations.items() if tool.hints.read_only}
        self._metrics = metrics or Metrics()
        self.tenants = Tenants(settings, transport, self._metrics)
        self.ending = anyio.Event()

    def open_to(self, caller: Caller) -> dict[str, Operation[Any, Any]]:
        """Return the tools that a caller may use, by their names."""
        return self.operations if caller.may_write else self._harmless

    def is_write(self, tool: str) -> bool:
        """Whether this is the name of a tool that changes something."""
        return tool in self.operations and tool not in self._harmless

    def is_plain(self, operation: Operation[Any, Any], *, wants_progress: bool) -> bool:
        """Whether a call needs neither a way to ask its human nor one to report progress.

        Args:
            operation: the tool.
            wants_progress: whether its client asks for reports.
        """
        return operation.is_plain(self.settings.confirm, wants_progress=wants_progress)

    async def call(
        self,
        operation: Operation[Any, Any],
        arguments: dict[str, Any] | None,
        caller: Caller,
        ask: Callable[[Question], Awaitable[Asked | None]] = cannot_ask,
        report: Report | None = None,
    ) -> Answer | Asked:
        """Run one tool, and log and count it without its arguments.

        Args:
            operation: the tool.
            arguments: as the model wrote them.
            caller: who calls.
            ask: puts a question to the human; returns None to go ahead, or what the client has to answer first.
            report: sends a report of progress to the client, if it wants any; None where there is no way to.

        Raises:
            Bug: a bug.
        """
        outcome, started, waits = "cancelled", time.perf_counter(), operation.waits is not None
        counted = self._metrics.waiting() if waits else self._metrics.in_flight()
        with begin(self.settings.timeout, caller.request_id) as state, counted:
            api = None
            try:
                api = await self.tenants.admit(caller)
                args = operation.parse(arguments)
                if changed := await api.allow(args):
                    args = args.model_copy(update=changed)
                may_ask = operation.may_ask(self.settings.confirm)
                if may_ask and (asked := await self._consent(operation, api, args, ask)):
                    outcome = "asked"
                    return asked
                if report and operation.reports:
                    state.reporter = Progress(report, api.redaction).report
                result = await (self._wait(operation, api, args, state) if waits else operation.run(api, args))
                data, blocks = readable(operation, args, result, self.operations.values())
                outcome = "ok"
                return _without_key(Answer(to_json(data).decode(), data, blocks=blocks), api.redaction)
            except InkboxError as error:
                outcome, state.status = error.code, error.status or state.status
                if self.settings.per_request_keys and isinstance(error, Unauthorized):
                    error.advised(
                        f"Tell the user: put a valid key into the header {KEY_HEADER} of this server's entry."
                    )
                # No data: clients check it against the output schema and would hide the text.
                meta = {**machine_fields(error), "request_id": state.request_id}
                answer = Answer(operation.explain(error), meta=meta)
                return _without_key(answer, api.redaction) if api else answer
            except Exception as error:
                outcome = "bug"
                _log_bug(operation, error)
                raise Bug(operation.name, state.request_id) from error
            finally:
                seconds = time.perf_counter() - started
                self._metrics.called(operation.name, outcome, None if waits else seconds)
                _log_call(operation.name, outcome, state.status, seconds, caller.name)

    async def _wait(self, operation: Operation[Any, Any], api: PinnedAPI, args: Args, call: Call) -> Result:
        """Run a tool that waits, within its own time limit.

        Raises:
            TimedOut: it did not answer when its time was over.
        """
        call.begin_to_wait(operation.time_limit(args) or 0, self.ending)
        with anyio.move_on_after(call.timeout + SECONDS_TO_ANSWER):
            return await operation.run(api, args)
        raise TimedOut(call.timeout)

    async def _consent(
        self,
        operation: Operation[Any, Any],
        api: PinnedAPI,
        args: Args,
        ask: Callable[[Question], Awaitable[Asked | None]],
    ) -> Asked | None:
        """Have the human agree to what the call will do, as it is when they have answered.

        Returns:
            None to go ahead, or what the client has to answer first.
        """
        agreed: Question | None = None
        for _ in range(MAX_QUESTIONS):
            question = await operation.question(api, args)
            if question is None or question == agreed:
                return None
            if asked := await ask(question):
                return asked
            agreed = question
            current().restart()
            await api.allow(args)  # the human may have taken minutes
        raise Declined("what it would do changed each time the user had agreed.")


def offered(settings: Settings) -> dict[str, Operation[Any, Any]]:
    """Choose the tools that the operator wants offered: what is off is neither listed nor callable.

    Raises:
        SettingsError: a name that is no tool, for it might be a misspelt one that should be off; or no tool is left.
    """
    operations = all_operations()
    for name in [*settings.tools, *settings.exclude_tools]:
        if name not in operations:
            raise SettingsError(f"{name}: no such tool; the tools are {', '.join(operations)}")
    left = {
        name: operation
        for name, operation in operations.items()
        if (not settings.tools or name in settings.tools)
        and name not in settings.exclude_tools
        and (operation.hints.read_only or not settings.read_only)
    }
    if not left:
        raise SettingsError("--tools, --exclude-tools and --read-only together leave no tool")
    return left


def _without_key(answer: Answer, redaction: Redaction) -> Answer:
    """Take the API key out of an answer, whichever notation the API repeated it in."""
    if answer.blocks:
        answer = replace(answer, blocks=tuple(without_key(block, redaction) for block in answer.blocks))
    if not redaction.finds(answer.text):
        return answer
    if answer.data is None:
        return replace(answer, text=redaction.hide(answer.text))
    data = redaction.hide(answer.data)
    return replace(answer, text=to_json(data).decode(), data=data)


def _log_call(tool: str, outcome: str, status: int | None, seconds: float, caller: str) -> None:
    fields = {"tool": tool, "outcome": outcome, "status": status, "ms": round(seconds * 1000, 1), "tenant": caller}
    logger.info("%s %s %s %.0f ms", tool, outcome, status or "-", seconds * 1000, extra={"fields": fields})


def _log_bug(operation: Operation[Any, Any], error: Exception) -> None:
    """Log where a bug is, without the texts of exceptions, which repeat arguments and answers."""
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s raised %s\n%s", operation.name, type(error).__qualname__, places)
