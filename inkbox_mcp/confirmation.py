"""Asking the human before something that cannot be undone.

A 2026-07-28 client is answered with the question and calls again with the answer; an earlier one is asked over its
session. The answer is kept under a key that says what was asked, so it can never count for anything else, and no server
has to remember anything between the two calls.
"""

from typing import Any

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import NoBackChannelError
from mcp.types import (
    CallToolRequestParams,
    ClientCapabilities,
    ElicitRequest,
    ElicitRequestedSchema,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from inkbox_mcp.errors import CannotAsk, Declined
from inkbox_mcp.questions import Question
from inkbox_mcp.settings import Confirm

NO_FIELDS: ElicitRequestedSchema = {"type": "object", "properties": {}}
"""The form has no fields: accepting it is the answer."""


async def confirm(
    context: ServerRequestContext[Any], params: CallToolRequestParams, question: Question, mode: Confirm
) -> InputRequiredResult | None:
    """Put a question to the human whose client this is.

    Args:
        context: the request, for what its client can do.
        params: the call, which carries the answer when it was asked before.
        question: what to ask.
        mode: whether to go ahead (auto) or to refuse (always) where the client cannot ask.

    Returns:
        None to go ahead, or the question for the client to ask.

    Raises:
        Declined: the human said no, or nothing.
        CannotAsk: `always`, and the client cannot ask.
    """
    answer = None
    if _can_ask(context.session.client_capabilities):
        if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            answer = (params.input_responses or {}).get(question.key)
            if answer is None:
                form = ElicitRequestFormParams(message=question.text, requested_schema=NO_FIELDS)
                return InputRequiredResult(input_requests={question.key: ElicitRequest(params=form)})
        else:
            answer = await _ask(context, question.text)
    if answer is None and mode == "always":
        raise CannotAsk
    if answer is not None and not (isinstance(answer, ElicitResult) and answer.action == "accept"):
        raise Declined
    return None


async def _ask(context: ServerRequestContext[Any], question: str) -> ElicitResult | None:
    """Ask over the session; None where the transport has no way back to the client."""
    try:
        return await context.session.elicit_form(question, NO_FIELDS, related_request_id=context.request_id)
    except NoBackChannelError:
        return None
    except MCPError:
        raise Declined from None


def _can_ask(capabilities: ClientCapabilities | None) -> bool:
    """An empty capability means forms (specification 2025-11-25, client/elicitation)."""
    elicitation = capabilities and capabilities.elicitation
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)
