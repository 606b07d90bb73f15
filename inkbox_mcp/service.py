"""Runs one tool call: admit, validate, confirm, execute, log. Every transport ends here.

Calls come from `inkbox_mcp.protocol.server`, which the MCP SDK calls, or from `inkbox_mcp.stdio.direct`, which answers
plain calls without the SDK. So this module must not need the SDK.
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
"""The most questions of one call, if its effect changes each time before the human has answered."""

SECONDS_TO_ANSWER = 1.0
"""Seconds that a waiting tool has to answer after its time limit; its requests end earlier."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a call.

    Attributes:
        text: for the model.
        data: the same as an object; None for a failure.
        meta: fields of a failure for programs.
        blocks: content to show besides the text.
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
    """A call hit a bug. The log has its place; this exception has no details.

    Attributes:
        data: for the `data` of a JSON-RPC error.
    """

    def __init__(self, tool: str, request_id: str) -> None:
        super().__init__(f"{tool} hit a bug in inkbox-mcp.")
        self.data = {"request_id": request_id}


async def cannot_ask(_: Question) -> None:
    """Refuse a call that needs a human's consent, because nobody can be asked.

    Raises:
        CannotAsk: always.
    """
    raise CannotAsk


class Service:
    """A server's tools and the API behind them. Connects on the first call.

    Attributes:
        settings: see `inkbox_mcp.settings.options`.
        operations: the offered tools by name.
        tenants: the API for each caller; the transport enters and exits this context.
        ending: set by the transport when the server is about to stop, so that waiting calls answer.

    Args:
        settings: see `inkbox_mcp.settings.options`.
        transport: makes another transport to the API than the settings name; for tests and embedding.
        metrics: counts calls and requests.

    Raises:
        SettingsError: the settings name an unknown tool, or an unusable store.
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
        """Return the tools that a caller may use, by name."""
        return self.operations if caller.may_write else self._harmless

    def is_write(self, tool: str) -> bool:
        """Whether the tool of this name changes something."""
        return tool in self.operations and tool not in self._harmless

    def is_plain(self, operation: Operation[Any, Any], *, wants_progress: bool) -> bool:
        """Whether a call needs neither to ask its human nor to report progress.

        Args:
            operation: the tool.
            wants_progress: whether the client asks for reports.
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
        """Run one tool call; log and count it without its arguments.

        Args:
            operation: the tool.
            arguments: as the model wrote them.
            caller: of the tool.
            ask: asks the human; returns None to continue, or the question for the client to answer first.
            report: sends a progress report to the client; None if it cannot get any.

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
                # No data: clients would check it against the output schema, and hide the text.
                meta = {**machine_fields(error), "request_id": state.request_id}
                answer = Answer(operation.explain(error), meta=meta)
                return _without_key(answer, api.redaction) if api else answer
            except Exception as error:
                outcome = "bug"
                _log_bug(operation, error)
                raise Bug(operation.name, state.request_id) from error
            finally:
                seconds = time.perf_counter() - started
                self._metrics.call_ended(operation.name, outcome, None if waits else seconds)
                _log_call(operation.name, outcome, state.status, seconds, caller.name)

    async def _wait(self, operation: Operation[Any, Any], api: PinnedAPI, args: Args, call: Call) -> Result:
        """Run a tool that waits, within its own time limit.

        Raises:
            TimedOut: the tool did not answer in time.
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
        """Ask the human, and ask again if the call's effect has changed by the time of the answer.

        Returns:
            None to continue, or the question for the client to answer first.
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
    """Return the tools that the operator offers. Others can be neither listed nor called.

    Raises:
        SettingsError: a name is not a tool's (it may be a misspelt one that should be off), or no tool is left.
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
    """Remove the API key from an answer, in any notation."""
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
    """Log the place of a bug, without messages of exceptions, which repeat arguments and answers."""
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s raised %s\n%s", operation.name, type(error).__qualname__, places)
