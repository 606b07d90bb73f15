"""Asks the human before a call that cannot be undone.

A 2026-07-28 client gets the question as the result, and calls again with the answer; see
`inkbox_mcp.protocol.request_state`. An earlier client is asked over its session. The answer has a key made from the
question, so that it counts for no other one; see `inkbox_mcp.toolkit.questions`. What an answer means is in
`inkbox_mcp.protocol.answers`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import NoBackChannelError
from mcp.types import (
    CallToolRequestParams,
    ClientCapabilities,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from inkbox_mcp.access.tenants import Caller
from inkbox_mcp.errors import Cancelled, CannotAsk, Declined, Unanswered
from inkbox_mcp.protocol.answers import CANCEL, FORM, NO, is_yes, read_answer
from inkbox_mcp.protocol.request_state import Tickets
from inkbox_mcp.settings.options import Confirm
from inkbox_mcp.toolkit.questions import Question


class Confirmation:
    """Asks the humans who use a server's clients.

    Args:
        mode: whether to continue (auto) or to refuse (always) if a client cannot ask.
        timeout: seconds in which a question must be answered.
    """

    def __init__(self, mode: Confirm, timeout: float) -> None:
        self._mode, self._timeout = mode, timeout
        self._tickets = Tickets(timeout)

    async def confirm(
        self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams, caller: Caller, question: Question
    ) -> InputRequiredResult | None:
        """Ask the human who uses the client.

        Args:
            context: of the request; knows the client's capabilities.
            params: of the call; contain the answer if the question was asked before.
            caller: of the request.
            question: to ask.

        Returns:
            None to continue, or the question for the client to ask.

        Raises:
            Declined: the answer was not a yes.
            Cancelled: the question was closed without an answer.
            Unanswered: nobody answered in time.
            CannotAsk: the mode is `always`, and the client cannot ask.
        """
        answer = None
        if _can_ask(context.session.client_capabilities):
            if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                sent = (params.input_responses or {}).get(question.key)
                if sent is None or not self._tickets.redeem(params.request_state, question):
                    return self._asking(question)
                answer = read_answer(sent)
            else:
                answer = await self._ask(context, caller, question)
        if answer is not None:
            self._require_yes(answer)
        elif self._mode == "always":
            raise CannotAsk
        return None

    def _require_yes(self, answer: ElicitResult) -> None:
        if answer.action == "cancel":
            raise Cancelled(required=self._mode == "always")
        if answer.action == "decline":
            raise Declined
        if not is_yes(answer):
            raise Declined("the user was asked to confirm, and the form was accepted without a yes in its only field.")

    def _asking(self, question: Question) -> InputRequiredResult:
        form = ElicitRequestFormParams(message=question.text, requested_schema=FORM)
        return InputRequiredResult(
            input_requests={question.key: ElicitRequest(params=form)}, request_state=self._tickets.issue(question)
        )

    async def _ask(
        self, context: ServerRequestContext[Any, Any], caller: Caller, question: Question
    ) -> ElicitResult | None:
        """Ask over the session; return None if the transport cannot send requests to the client."""
        answer: list[ElicitResult | None] = []

        async def ask() -> None:
            try:
                elicit = context.session.elicit_form
                answer.append(await elicit(question.text, FORM, related_request_id=context.request_id))
            except NoBackChannelError:
                answer.append(None)
            except MCPError:
                answer.append(CANCEL)
            except ValidationError:
                answer.append(NO)
            tasks.cancel_scope.cancel()

        async def give_up(left: Callable[[], Awaitable[None]]) -> None:
            await left()
            answer.append(CANCEL)
            tasks.cancel_scope.cancel()

        with anyio.move_on_after(self._timeout):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                if caller.left:
                    tasks.start_soon(give_up, caller.left)
        if not answer:
            raise Unanswered(self._timeout)
        return answer[0]


def _can_ask(capabilities: ClientCapabilities | None) -> bool:
    """Whether the client can show forms. An empty capability means forms (2025-11-25, client/elicitation)."""
    elicitation = capabilities and capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)
