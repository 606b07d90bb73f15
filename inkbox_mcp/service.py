"""Runs one tool call: admit, validate, confirm, execute, log. Every transport ends here.

Calls come from `inkbox_mcp.protocol.server`, which the MCP SDK calls, or from `inkbox_mcp.protocol.plain`, which needs
no SDK. So this module must not need it.
"""

import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
from pydantic_core import to_json

from inkbox_mcp.access.pins import PinnedAPI
from inkbox_mcp.access.tenants import KEY_HEADER, Caller, Tenants
from inkbox_mcp.access.waits import Waits, unless
from inkbox_mcp.api.call_log import MadeCall
from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.calls import Call, Ending, Report, begin, current
from inkbox_mcp.catalogue import Catalogues
from inkbox_mcp.discovery import SECONDS_TO_LOOK, Discovery
from inkbox_mcp.errors import (
    APIError,
    CallerLeft,
    CannotAsk,
    InkboxError,
    InvalidArguments,
    OperationMoved,
    ServerError,
    TimedOut,
    Unauthorized,
    machine_fields,
)
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.toolkit.content import Block, without_key
from inkbox_mcp.toolkit.operation import Args, Operation, Result
from inkbox_mcp.toolkit.progress import Progress
from inkbox_mcp.toolkit.questions import Question
from inkbox_mcp.toolkit.results import readable

logger = logging.getLogger(__name__)

Asked = TypeVar("Asked")

MAY_MEAN_MOVED = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY}
"""A missing route answers 404 or 405, a missing field 422."""

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
        catalogues: the tools that callers can call.
        tenants: the API for each caller; the transport enters and exits this context.
        discovery: finds out which tools a caller has.
        ending: set by the transport when the server is about to stop, so that waiting calls answer.
        client: what the only client calls itself; None if that is not known, or there may be several.

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
        self.catalogues = Catalogues(settings)
        self._metrics = metrics or Metrics()
        self.tenants = Tenants(settings, transport, self._metrics)
        self.discovery = Discovery(settings, self.catalogues, self.tenants)
        self.ending = Ending()
        self.client: str | None = None
        self._waits = Waits(settings.max_waits, shared=not settings.tells_callers_apart)

    def begun(self, params: object) -> None:
        """Note what the only client calls itself.

        Args:
            params: of the request that begins its conversation.
        """
        match params:
            case {"clientInfo": {"name": str() as name}}:
                self.client = name
            case {"_meta": {"io.modelcontextprotocol/clientInfo": {"name": str() as name}}}:
                self.client = name
            case _:
                pass

    def is_plain(self, operation: Operation[Any, Any], *, wants_progress: bool) -> bool:
        """Whether a call needs neither to ask its human nor to report progress.

        Args:
            operation: the tool.
            wants_progress: whether the client asks for reports.
        """
        return operation.is_plain(self.settings.confirm, wants_progress=wants_progress)

    def refuse(self, tool: str, error: InkboxError, caller: Caller) -> Answer:
        """Answer a call of a tool that the caller cannot call; log and count it."""
        with begin(self.settings.timeout, caller.request_id) as state:
            answer = Answer(error.explain(tool), meta={**machine_fields(error), "request_id": state.request_id})
            self._ended(MadeCall(tool, None, error.code, answer.text, 0, self.client), None, caller)
            return answer

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
        outcome, told, started, waits = "cancelled", None, time.perf_counter(), operation.waits is not None
        counted = self._metrics.waiting() if waits else self._metrics.in_flight()
        with begin(self.settings.timeout, caller.request_id) as state, counted:
            api, state.attachments_dir = None, self.settings.attachments_dir
            try:
                api = await self.tenants.admit(caller)
                catalogue = self.discovery.open_to(caller)
                operation, args = await self._understand(operation, arguments, api, caller)
                if changed := await api.allow(args):
                    args = args.model_copy(update=changed)
                await self._require_effect(operation, api)
                if asked := await self._ask(operation, api, args, ask):
                    outcome = "asked"
                    return asked
                if report and operation.reports:
                    state.reporter = Progress(report, api.redaction).report
                run = partial(self._run, operation, api, args)
                result = await (self._wait(run, operation.time_limit(args), state, caller) if waits else run())
                data, blocks = readable(operation, args, result, catalogue.tools.values())
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
                # The call may have shown another generation, with other tools.
                answer = Answer(operation.explain(error, self.discovery.open_to(caller).about), meta=meta)
                told = answer.text
                return _without_key(answer, api.redaction) if api else answer
            except Exception as error:
                outcome = "bug"
                _log_bug(operation, error)
                raise Bug(operation.name, state.request_id) from error
            finally:
                seconds = time.perf_counter() - started
                made = MadeCall(operation.name, arguments, outcome, told, seconds, self.client)
                self._ended(made, state.status, caller, waits=waits)

    def _ended(self, made: MadeCall, status: int | None, caller: Caller, *, waits: bool = False) -> None:
        """Count and log a call that has ended; a sandbox on a file keeps it, too."""
        self._metrics.call_ended(made.tool, made.outcome, None if waits else made.seconds)
        ms = made.seconds * 1000
        tenant = caller.name
        fields = {"tool": made.tool, "outcome": made.outcome, "status": status, "ms": round(ms, 1), "tenant": tenant}
        logger.info("%s %s %s %.0f ms", made.tool, made.outcome, status or "-", ms, extra={"fields": fields})
        if self.tenants.keeps_calls:
            self.tenants.keep(replace(made, redaction=self.tenants.redaction_of(caller)))

    async def _understand(
        self, operation: Operation[Any, Any], arguments: dict[str, Any] | None, api: PinnedAPI, caller: Caller
    ) -> tuple[Operation[Any, Any], Args]:
        """Check a call's arguments. If they fit the other generation's tool of this name, find out which is right.

        Raises:
            InvalidArguments: names all bad arguments.
        """
        try:
            return operation, operation.parse(arguments)
        except InvalidArguments:
            other, args = self.catalogues.counterpart(operation), None
            with suppress(InvalidArguments):
                args = other and other.parse(arguments)
            if other is None or args is None:
                raise
            with suppress(InkboxError), anyio.move_on_after(SECONDS_TO_LOOK):
                await api.generation(again=True)
            if self.discovery.open_to(caller).tools.get(operation.name) is not other:
                raise
            return other, args

    async def _ask(
        self,
        operation: Operation[Any, Any],
        api: PinnedAPI,
        args: Args,
        ask: Callable[[Question], Awaitable[Asked | None]],
    ) -> Asked | None:
        """Ask the human before a call that needs it, and again if what the question showed has changed meanwhile.

        Returns:
            None to continue, or the question for the client to answer first.
        """
        confirm = self.settings.confirm
        question = await operation.question(api, args, confirm) if operation.may_ask(confirm) else None
        while question:
            if asked := await ask(question):
                return asked
            current().restart()  # the human may have taken minutes
            await api.allow(args)
            await self._require_effect(operation, api)
            latest = await operation.question(api, args, confirm) if operation.facts else question
            if latest == question:
                return None
            question = latest
        return None

    async def _wait(
        self, run: Callable[[], Awaitable[Result]], seconds: float | None, call: Call, caller: Caller
    ) -> Result:
        """Run a tool that waits, within its own time limit and the caller's limit of such calls.

        Raises:
            TooManyWaits: the caller has too many of them.
            TimedOut: the tool did not answer in time.
            CallerLeft: the client closed the connection. In a session of 2025-11-25 that does not cancel the call.
        """
        with self._waits.one_of(caller.name):
            call.begin_to_wait(seconds or 0, self.ending)
            with anyio.move_on_after(call.timeout + SECONDS_TO_ANSWER):
                return await (unless(caller.left, run, CallerLeft) if caller.left else run())
        raise TimedOut(call.timeout)

    async def _run(self, operation: Operation[Any, Any], api: PinnedAPI, args: Args) -> Result:
        """Run a tool.

        Raises:
            OperationMoved: the organization has moved to the other generation of the API, which does it differently.
            InkboxError: the call failed.
        """
        try:
            return await operation.run(api, args)
        except APIError as error:
            if error.status not in MAY_MEAN_MOVED or not self.catalogues.sends_otherwise(operation):
                raise
            # A 404 is mostly about the named object. The others contradict what is known, so the API is asked again.
            with suppress(InkboxError):
                await api.generation(again=error.status != HTTPStatus.NOT_FOUND)
            if moved := self.catalogues.moved(operation, api.known.value):
                raise OperationMoved(moved, error.status) from error
            raise

    async def _require_effect(self, operation: Operation[Any, Any], api: PinnedAPI) -> None:
        """Refuse what cannot be undone and does something else now, because the organization has moved.

        Raises:
            OperationMoved: the other generation has a tool of this name that makes or deletes something else.
            InkboxError: the generation could not be found out.
        """
        if not (operation.hints.is_final and self.catalogues.counterpart(operation)):
            return
        try:
            await api.generation(again=operation.hints.destructive or not api.known.is_confirmed)
        except ServerError as error:
            raise error.advised("Nothing was changed. If it keeps failing, tell the user.") from None
        if moved := self.catalogues.moved(operation, api.known.value):
            raise OperationMoved(moved)


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


def _log_bug(operation: Operation[Any, Any], error: Exception) -> None:
    """Log the place of a bug, without messages of exceptions, which repeat arguments and answers."""
    places = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s raised %s\n%s", operation.name, type(error).__qualname__, places)
