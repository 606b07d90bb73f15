"""Makes drafts from the bodies of requests: new messages, replies, forwards."""

import re
import sqlite3
from collections.abc import Sequence
from html import escape
from typing import Any
from uuid import UUID

from inkbox_mcp.sandbox.fields import iso_8601
from inkbox_mcp.sandbox.mail import messages, threads
from inkbox_mcp.sandbox.mail.composing import Letter
from inkbox_mcp.sandbox.mail.headers import message_ids
from inkbox_mcp.sandbox.mail.parsing import Attachment, parse
from inkbox_mcp.sandbox.mail.requests import MessageForward, MessageSend
from inkbox_mcp.sandbox.mail.sending import Draft
from inkbox_mcp.sandbox.mail.texts import without_tags
from inkbox_mcp.sandbox.problems import BadRequest
from inkbox_mcp.sandbox.rows import Row


def new_draft(
    connection: sqlite3.Connection,
    mailbox: Row,
    body: MessageSend,
    attachments: Sequence[Attachment],
    reply_to: str | None = None,
    thread_id: UUID | None = None,
) -> Draft:
    """Make the draft of a send; a message to answer that the mailbox does not have begins a new thread.

    A message that continues a thread answers its last one, if it does not name another one of it.
    """
    reference = body.in_reply_to_message_id
    parent = messages.find_by_reference(connection, mailbox["id"], reference) if reference else None
    if thread_id is not None:
        thread = threads.find_thread(connection, mailbox["id"], thread_id)
        parent = parent if reference else messages.messages_of_thread(connection, thread["id"])[-1]
        if parent is None or parent["thread_id"] != thread["id"]:
            raise BadRequest("The message that is answered is not in the thread")
    recipients = body.recipients
    letter = Letter(
        mailbox["email_address"],
        mailbox["display_name"],
        recipients.to,
        body.subject,
        text=body.body_text,
        html=body.body_html,
        cc=recipients.cc or (),
        reply_to=[reply_to] if reply_to else (),
        attachments=attachments,
        **(_answering_unknown(reference) if parent is None else answering(parent)),
    )
    return Draft(letter, recipients.bcc or ())


def forward_draft(
    connection: sqlite3.Connection, mailbox: Row, source: Row, body: MessageForward, attachments: Sequence[Attachment]
) -> Draft:
    """Make the draft of a forward, which begins a new thread."""
    text, html = body.body_text, body.body_html
    raw = messages.raw_message(connection, source)
    if body.mode == "inline":
        original = messages.with_content(connection, source)
        text, html = _inline_text(original, text, html), _inline_html(original, text, html)
        if body.include_original_attachments:
            attachments = [*parse(raw).attachments, *attachments]
    recipients = body.recipients
    letter = Letter(
        mailbox["email_address"],
        mailbox["display_name"],
        recipients.to or (),
        with_prefix("Fwd: ", source["subject"]) if body.subject is None else body.subject,
        text=text,
        html=html,
        cc=recipients.cc or (),
        reply_to=[body.reply_to] if body.reply_to else (),
        attachments=attachments,
        wrapped=raw if body.mode == "wrapped" else None,
    )
    return Draft(letter, recipients.bcc or (), forwarded=True)


def answering(parent: Row | None) -> dict[str, Any]:
    """Return the members of a letter that put it into the thread of the message that it answers."""
    if parent is None:
        return {}
    before: list[str] = parent["reference_ids"] or [each for each in [parent["in_reply_to"]] if each]
    return {"in_reply_to": parent["message_id"], "references": [*before, parent["message_id"]]}


def _answering_unknown(reference: str | None) -> dict[str, Any]:
    """Return the members of a letter that let its recipient find the message that it answers."""
    ids = message_ids(reference)
    return {"in_reply_to": ids[0], "references": ids} if ids == [reference] else {}


def reply_all_recipients(mailbox: Row, message: Row) -> tuple[list[str], list[str]]:
    """Return To and Cc of an answer to everyone: without the mailbox itself and without Bcc, each address once."""
    inbound = message["direction"] == "inbound"
    first: list[str] = (message["reply_to"] or [message["from_address"]]) if inbound else []
    seen = {mailbox["email_address"]}
    others: list[str] = message["to_addresses"]
    to = [each for each in [*first, *others] if _is_new(each, seen)]
    copies: list[str] = message["cc_addresses"] or []
    cc = [each for each in copies if _is_new(each, seen)]
    return to, cc


def with_prefix(prefix: str, subject: str | None) -> str:
    """Return a subject with `Re: ` or `Fwd: ` before it, once, cut to 998 characters."""
    known = r"\s*(re|aw)\s*:" if prefix == "Re: " else r"\s*fwd?\s*:"
    text = subject or ""
    return text if re.match(known, text, re.IGNORECASE) else f"{prefix}{text}"[:998]


def _is_new(address: str, seen: set[str]) -> bool:
    if address.lower() in seen:
        return False
    seen.add(address.lower())
    return True


def _preamble(message: Row) -> list[str]:
    name, address = message["from_display_name"], message["from_address"]
    lines = [
        "---------- Forwarded message ---------",
        f"From: {name} <{address}>" if name else f"From: {address}",
        f"Date: {iso_8601(message['created_at'])}",
        f"Subject: {message['subject'] or ''}",
        f"To: {', '.join(message['to_addresses'])}",
    ]
    return [*lines, f"Cc: {', '.join(message['cc_addresses'])}"] if message["cc_addresses"] else lines


def _inline_text(original: Row, text: str | None, html: str | None) -> str | None:
    if original["body_text"] is None and original["body_html"] is not None and (text is None or html is not None):
        return None  # the HTML says everything
    note = f"{text}\n\n" if text else ""
    body = original["body_text"]
    if body is None:
        body = without_tags(original["body_html"] or "").strip()
    return note + "\n".join(_preamble(original)) + f"\n\n{body}"


def _inline_html(original: Row, text: str | None, html: str | None) -> str | None:
    if original["body_html"] is None and html is None:
        return None
    note = html if html is not None else _as_html(text or "")
    body = original["body_html"]
    if body is None:
        body = _as_html(original["body_text"] or "")
    return f"{note}<br><br>{'<br>'.join(escape(line) for line in _preamble(original))}<br><br>{body}"


def _as_html(text: str) -> str:
    return escape(text).replace("\n", "<br>")
