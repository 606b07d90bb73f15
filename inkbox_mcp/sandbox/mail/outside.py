"""Mail from outside: who it is for, and what became of it."""

from collections.abc import Sequence
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from inkbox_mcp.sandbox.mail.letters import Delivery
from inkbox_mcp.sandbox.mail.parsing import MAX_MESSAGE_BYTES, Unreadable
from inkbox_mcp.sandbox.mail.requests import EmailAddress
from inkbox_mcp.sandbox.problems import BadRequest, NotFound, TooLarge, UnsupportedMediaType
from inkbox_mcp.sandbox.store import Store

router = APIRouter(prefix="/sandbox/deliveries", include_in_schema=False)


class Receipt(BaseModel):
    """What became of a message: the ids of its copies by recipient, and whom it did not reach."""

    delivered: dict[str, str]
    undeliverable: list[str]


@router.post("", status_code=201, response_model=Receipt)
async def deliver_message(
    request: Request,
    to: Annotated[list[EmailAddress], Query()] = [],  # noqa: B006 - FastAPI copies it
) -> Receipt:
    """Take a message for mailboxes of any organization, as a mail server would; it needs no key.

    The body is either `message/rfc822`, with the recipients in `to` or in its headers, or the JSON of a `Delivery`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"message/rfc822", "application/json"}:
        raise UnsupportedMediaType("Send message/rfc822 or application/json")
    body = await _body(request, MAX_MESSAGE_BYTES if kind == "message/rfc822" else 2 * MAX_MESSAGE_BYTES)
    store: Store = request.app.state.store
    return await anyio.to_thread.run_sync(_deliver, store, body, to, kind)


def _deliver(store: Store, body: bytes, to: Sequence[str], kind: str) -> Receipt:
    try:
        if kind == "application/json":
            delivery = Delivery.model_validate_json(body)
            body, to = delivery.written(), [*to, *delivery.to, *delivery.cc]
        delivered, undeliverable = store.deliver(body, to)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    except Unreadable as error:
        raise BadRequest(str(error)) from None
    if not delivered:
        raise NotFound(f"No mailbox takes it: {', '.join(undeliverable)[:500] or 'it names no recipient'}")
    return Receipt(delivered=delivered, undeliverable=undeliverable)


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"More than {limit} bytes")
    return bytes(body)
