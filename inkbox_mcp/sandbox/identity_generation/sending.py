"""How the identity generation sends: a request with an `Idempotency-Key` sends at most one message.

The same key and input get the first answer for seven days. `Prefer: idempotency-replay`, which the official SDK sends,
changes nothing here; the answer says that it was seen.
"""

import sqlite3
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.identity_generation.message_bodies import IdentityMessageForward, IdentityMessageSend, ReplyAll
from inkbox_mcp.sandbox.identity_generation.messages import Message
from inkbox_mcp.sandbox.mail import messages
from inkbox_mcp.sandbox.mail.composing import Letter
from inkbox_mcp.sandbox.mail.drafts import answering, forward_draft, new_draft, reply_all_recipients, with_prefix
from inkbox_mcp.sandbox.mail.idempotency import Operation, find_key, key_of, remember, replayed
from inkbox_mcp.sandbox.mail.parsing import Attachment
from inkbox_mcp.sandbox.mail.requests import Address
from inkbox_mcp.sandbox.mail.routes import SENDING, mail_router
from inkbox_mcp.sandbox.mail.sending import Draft, Writer, post, send_from, write_message
from inkbox_mcp.sandbox.problems import MailProblem, NotFound, answers
from inkbox_mcp.sandbox.rows import Row
from inkbox_mcp.sandbox.store import Organization

router = mail_router()
lookups = APIRouter(prefix="/api/v1/message-sends", tags=["mail"], responses=answers(401, 403, 404, 503))

KEYED = {**SENDING, **answers(400, 409, model=MailProblem)}

_KEY = Header(description="1 to 255 printable ASCII characters", max_length=255, pattern=r"^[ -~]*[!-~][ -~]*$")


class Once:
    """Sends what a request asks for, unless an earlier request with its key has done so."""

    def __init__(
        self,
        response: Response,
        idempotency_key: Annotated[str | None, _KEY] = None,
        prefer: Annotated[str | None, Header(description="idempotency-replay")] = None,
    ) -> None:
        """Read the headers of a request."""
        self._response = response
        self._key = idempotency_key
        self._prefer = prefer

    def send(self, organization: Organization, address: str, write: Writer, operation: Operation, *parts: Any) -> Row:
        """Send what `write` makes; or return the first answer to the key, if `parts`, the input, are the same."""
        if "idempotency-replay" in (self._prefer or ""):
            self._response.headers["Preference-Applied"] = "idempotency-replay"
        if self._key is None:
            return send_from(organization, address, write)
        key = key_of(self._key, operation, *parts)
        with organization.reading() as connection:
            first = replayed(connection, rows.find_mailbox(connection, organization.id, address), key)
        if first is not None:
            return self._replay(first)
        written = write_message(organization, address, write)
        with organization.posting() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            # Another request with the key may have been faster.
            first = replayed(connection, mailbox, key)
            if first is not None:
                return self._replay(first)
            accepted = post(connection, mailbox, written)
            remember(connection, mailbox, key, accepted)
        return accepted

    def _replay(self, first: Row) -> Row:
        self._response.headers["Idempotency-Replayed"] = "true"
        return first


OnlyOnce = Annotated[Once, Depends()]


@router.post("/messages", status_code=201, response_model=Message, responses=KEYED)
def send_message(organization: CurrentOrganization, address: Address, body: IdentityMessageSend, once: OnlyOnce) -> Any:
    """Send a message, or answer one."""
    files = [each.as_attachment() for each in body.attachments or []]

    def write(connection: sqlite3.Connection, mailbox: Row) -> Draft:
        return new_draft(connection, mailbox, body, files, body.reply_to, body.thread_id)

    parts = body.model_dump() | {"thread_id": body.thread_id and str(body.thread_id)}
    return once.send(organization, address, write, "mail.send", parts)


@router.post("/messages/{message_id}/reply-all", status_code=201, response_model=Message, responses=KEYED)
def reply_all_message(
    organization: CurrentOrganization, address: Address, message_id: UUID, body: ReplyAll, once: OnlyOnce
) -> Any:
    """Answer a message to everyone who has it."""
    files = [each.as_attachment() for each in body.attachments or []]

    def write(connection: sqlite3.Connection, mailbox: Row) -> Draft:
        source = messages.find_message(connection, mailbox["id"], message_id)
        return reply_all_draft(mailbox, source, body, files)

    return once.send(organization, address, write, "mail.reply_all", str(message_id), body.model_dump())


@router.post("/messages/{message_id}/forward", status_code=201, response_model=Message, responses=KEYED)
def forward_message(
    organization: CurrentOrganization, address: Address, message_id: UUID, body: IdentityMessageForward, once: OnlyOnce
) -> Any:
    """Forward a message; this begins a new thread."""
    files = [each.as_attachment() for each in body.additional_attachments or []]

    def write(connection: sqlite3.Connection, mailbox: Row) -> Draft:
        source = messages.find_message(connection, mailbox["id"], message_id)
        return forward_draft(connection, mailbox, source, body, files)

    return once.send(organization, address, write, "mail.forward", str(message_id), body.model_dump())


def reply_all_draft(mailbox: Row, source: Row, body: ReplyAll, files: list[Attachment]) -> Draft:
    """Make the draft of an answer to everyone; mail that only the mailbox itself has is answered to it."""
    to, cc = reply_all_recipients(mailbox, source)
    letter = Letter(
        mailbox["email_address"],
        mailbox["display_name"],
        to or ([] if cc else [mailbox["email_address"]]),
        with_prefix("Re: ", source["subject"]) if body.subject is None else body.subject,
        text=body.body_text,
        html=body.body_html,
        cc=cc,
        reply_to=[body.reply_to] if body.reply_to else (),
        attachments=files,
        **answering(source),
    )
    return Draft(letter)


class MessageSendResult(BaseModel):
    """The message that was sent under a key."""

    message_id: UUID


class MessageSendQuery(BaseModel):
    """Where a key was used."""

    sender_kind: Literal["mailbox"]
    sender_id: UUID
    operation: Operation


@lookups.get("/lookup", response_model=MessageSendResult)
def lookup_message_send(
    organization: CurrentOrganization,
    wanted: Annotated[MessageSendQuery, Query()],
    idempotency_key: Annotated[str, _KEY],
) -> Any:
    """Find the message that was sent under a key, without sending anything."""
    with organization.reading() as connection:
        mailbox = rows.find_mailbox(connection, organization.id, wanted.sender_id)
        row = find_key(connection, mailbox, wanted.operation, idempotency_key)
    if row is None:
        raise NotFound("No message was sent with this key")
    return row
