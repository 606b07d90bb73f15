"""Sends messages of a mailbox: checks them, writes them, delivers them, and keeps the sender's copy."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.mail import messages
from inkbox_mcp.sandbox.mail.composing import Letter, compose
from inkbox_mcp.sandbox.mail.delivery import Outcome, deliver_from
from inkbox_mcp.sandbox.mail.events import EventType, emit
from inkbox_mcp.sandbox.mail.limits import (
    Limits,
    count_recipients,
    read_limits,
    refuse_attachments,
    refuse_recipients,
    refuse_without_room,
)
from inkbox_mcp.sandbox.mail.parsing import Parsed, Unreadable, parse
from inkbox_mcp.sandbox.problems import Forbidden, TooLarge
from inkbox_mcp.sandbox.rows import Row
from inkbox_mcp.sandbox.store import Organization


@dataclass(frozen=True, slots=True)
class Draft:
    """What to send.

    Attributes:
        letter: Without the mailbox's signature and the plan's footer.
        bcc: Addresses that the message does not show.
        forwarded: Whether it forwards another message.
    """

    letter: Letter
    bcc: Sequence[str] = ()
    forwarded: bool = False

    def recipients(self) -> list[str]:
        """Return all addresses, each once."""
        return list(dict.fromkeys([*self.letter.to, *self.letter.cc, *self.bcc]))


@dataclass(frozen=True, slots=True)
class Written:
    """A message that is ready to be sent."""

    draft: Draft
    parsed: Parsed
    raw: bytes


Writer = Callable[[sqlite3.Connection, Row], Draft]
"""Makes a draft for a mailbox, with what it reads of the database."""


def send_from(organization: Organization, address: str, write: Writer) -> Row:
    """Send what `write` makes from a mailbox, and return the message as it was accepted."""
    written = write_message(organization, address, write)
    with organization.posting() as connection:
        return post(connection, rows.find_mailbox(connection, organization.id, address), written)


def write_message(organization: Organization, address: str, write: Writer) -> Written:
    """Write a message, which may take a while, outside of a transaction.

    Raises:
        TooLarge: It is larger than a message may be.
    """
    with organization.reading() as connection:
        mailbox = rows.find_mailbox(connection, organization.id, address)
        limits = read_limits(connection)
        draft = write(connection, mailbox)
    refuse_attachments(limits, sum(len(each.content) for each in draft.letter.attachments))
    draft = replace(draft, letter=_signed(draft.letter, mailbox, limits))
    raw = compose(draft.letter)
    try:
        return Written(draft, _as_asked(draft.letter, parse(raw)), raw)
    except Unreadable as error:
        raise TooLarge({"error": "message_too_large", "message": str(error)}) from None


def post(connection: sqlite3.Connection, mailbox: Row, written: Written) -> Row:
    """Send a message and return it as it was accepted; what becomes of it shows when it is read again.

    Args:
        connection: In a transaction.
        mailbox: The sender's.
        written: The message.

    Raises:
        Forbidden: A recipient is blocked or not allowed, or the mailbox's identity is paused.
        TooManyRequests: The plan allows no more recipients today.
        PaymentRequired: The mailbox is full.
    """
    draft, letter, recipients = written.draft, written.draft.letter, written.draft.recipients()
    limits = read_limits(connection)
    _refuse_paused(connection, mailbox)
    refuse_recipients(limits, recipients)
    _refuse_blocked(mailbox, recipients)
    refuse_without_room(limits, mailbox, len(written.raw))
    count_recipients(connection, limits, mailbox["organization_id"], len(recipients))
    content = messages.insert_content(connection, written.parsed, written.raw, letter.text, letter.html)
    content["bcc_addresses"] = json.dumps(draft.bcc) if draft.bcc else None
    new = {**content, "message_id": letter.message_id, "direction": "outbound", "status": "sent"}
    accepted = messages.insert_message(connection, mailbox["id"], new)
    emit(connection, mailbox, accepted, "message.forwarded" if draft.forwarded else "message.sent")
    outcome = deliver_from(connection, accepted, content, recipients)
    settled = messages.update_message(connection, accepted, {"status": outcome})
    emit(connection, mailbox, settled, _EVENTS[outcome])
    return accepted


_EVENTS: dict[Outcome, EventType] = {
    "delivered": "message.delivered",
    "bounced": "message.bounced",
    "failed": "message.failed",
}


def _as_asked(letter: Letter, parsed: Parsed) -> Parsed:
    """Return what a message says in the words of the request, which headers may cut or change."""
    return replace(
        parsed,
        from_address=letter.sender,
        from_display_name=letter.sender_name,
        to=list(letter.to),
        cc=list(letter.cc),
        reply_to=list(letter.reply_to),
        subject=letter.subject,
        in_reply_to=letter.in_reply_to,
        references=list(letter.references),
    )


def _refuse_paused(connection: sqlite3.Connection, mailbox: Row) -> None:
    identity = connection.execute("SELECT status FROM identities WHERE id = ?", (mailbox["identity_id"],)).fetchone()
    if mailbox["status"] == "paused" or (identity and identity["status"] == "paused"):
        raise Forbidden({"error": "identity_paused", "message": "A paused identity receives, and does not send."})


def _refuse_blocked(mailbox: Row, recipients: Sequence[str]) -> None:
    everyone = mailbox["outbound_filter_mode"] == "whitelist"  # of which the sandbox has no rules
    for address in recipients:
        if everyone or address.lower().startswith("blocked@"):
            reason = "not on the whitelist" if everyone else "blocked by a contact rule"
            raise Forbidden(
                {
                    "error": "recipient_blocked",
                    "matched_rule_id": None if everyone else "00000000-0000-4000-8000-00000000b10c",
                    "address": address,
                    "reason": f"The recipient is {reason}.",
                }
            )


def _signed(letter: Letter, mailbox: Row, limits: Limits) -> Letter:
    """Return a letter with the mailbox's signature and the plan's footer."""
    signed = bool(mailbox["signature_enabled"])
    html_signature = mailbox["signature_html"] or escape(mailbox["signature_text"] or "").replace("\n", "<br>")
    text, html = letter.text, letter.html
    if signed and mailbox["signature_text"] and (text is not None or html is None):
        text = f"{text or ''}\n\n-- \n{mailbox['signature_text']}"
    if signed and html_signature and html is not None:
        html = f"{html}<br><br>{html_signature}"
    if limits.footer is not None:
        if html is not None:
            html = f"{html}<br><br>{escape(limits.footer)}"
        if text is not None or html is None:
            text = f"{text}\n\n{limits.footer}" if text else limits.footer
    return replace(letter, text=text, html=html)
