"""How tools read a message: its text between marks, the codes and links in it, and what was left out."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import anyio
from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.calls import begin, request_id
from inkbox_mcp.errors import InkboxError, NotFound
from inkbox_mcp.mail.fence import fenced
from inkbox_mcp.toolkit.fields import Boolean, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.sent import ID, IDOrNull
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import (
    BY_MESSAGE,
    MAX_ID,
    MAX_TIME,
    MAX_WORD,
    Item,
    MessageID,
    is_unread,
    list_of,
    messages_of,
    rows_by_id,
    sender_of,
    side_by_side,
    written,
)

if TYPE_CHECKING:
    from inkbox_mcp.mail.body import Body
    from inkbox_mcp.mail.codes import Code
    from inkbox_mcp.mail.links import Link

MAX_TEXT = 6000
"""Characters of a message's text that are shown if nothing else is asked for."""
MOST_ATTACHMENTS = 50
MAX_NAME = 255
"""Characters of the name of an attachment."""
MOST_OF_RECIPIENTS = 400
"""Characters of the recipients that are shown, so that the number of the others fits into the header, too."""
MOST_OF_LINKS = 8000
"""Characters of the URLs of a message that are shown."""
MAX_OFFSET = 10_000_000
"""No text that is read has more characters."""
SECONDS_TO_RESTORE = 2.5

BY_GET_MESSAGE = "get_message with its id and "
"""What another tool writes before an argument that shows more."""
_QUOTES = "… {count:,} quoted characters were left out: {how}quoted=true shows them"
_NO_HTML = 'This mail has no HTML: format="text" shows its text.'
_UNREAD = "… the end of this mail, {count:,} characters, is too long or too entangled to be read in time"


class GetMessage(Args):
    invented: ClassVar = {
        **BY_MESSAGE,
        **dict.fromkeys(("thread", "thread_id"), "call get_thread with email_address and thread_id"),
        **dict.fromkeys(
            ("is_read", "mark_read", "mark_as_read"), "call update_messages with email_address and is_read"
        ),
        **dict.fromkeys(("page", "cursor", "next_offset"), "pass next_offset of the part before as offset"),
        **dict.fromkeys(("limit", "max_length", "max_tokens"), "pass the number of characters as max_chars"),
        "html": 'pass format "html"',
        "include_quoted": "pass it as quoted",
    }

    email_address: Address
    message_id: MessageID
    max_chars: Annotated[WholeNumber, Field(ge=100, le=50_000, description="Characters, 100-50000. Default: 6000.")] = (
        MAX_TEXT
    )
    offset: Annotated[WholeNumber, Field(ge=0, description="next_offset of the part before. Default: 0.")] = 0
    quoted: Annotated[Boolean, Field(description="Show quotations too. Default: false.")] = False
    format: Annotated[Literal["text", "html"], Field(description='html shows its source. Default: "text".')] = "text"


class CodeRow(Result):
    """A code in a message; its score is from 1 to 100."""

    also: ClassVar[Also] = {"value": str, "score": int, "line": str}


class LinkRow(Result):
    """A link in a message."""

    also: ClassVar[Also] = {"host": str, "url": str, "text": str, "kind": str, "misleading": bool}


class AttachmentRow(Result):
    """An attachment of a message, in bytes."""

    also: ClassVar[Also] = {"filename": str, "content_type": str, "size": int}


class MessageText(Result):
    """A message for a model. What it does not have is left out."""

    also: ClassVar[Also] = {
        "id": ID,
        "thread_id": IDOrNull,
        "status": str,
        "text": str,
        "next_offset": int,
        "hidden_text_removed": int,
        "codes": list[CodeRow],
        "links": list[LinkRow],
        "links_left_out": int,
        "attachments": list[AttachmentRow],
        "attachments_left_out": int,
    }


class Message(MessageText):
    id: ID


async def read_detail(api: InkboxAPI, address: str, message_id: str) -> Item:
    """Get a message with its bodies, under the id that it was asked for by."""
    detail = await api.get(messages_of(address, message_id), Result)
    return {**detail.model_dump(exclude_unset=True), "id": message_id}


@dataclass(frozen=True, slots=True)
class View:
    """Which part of a message is shown; see `GetMessage`.

    Attributes:
        how: what to write before an argument that shows more, where another tool takes it.
    """

    max_chars: int = MAX_TEXT
    offset: int = 0
    quoted: bool = False
    format: Literal["text", "html"] = "text"
    how: str = ""


async def body_of(detail: Mapping[str, Any]) -> "Body":
    """Read the body of a message in a thread, so that a long one holds up no other call."""
    return await anyio.to_thread.run_sync(_body, detail, abandon_on_cancel=True)


async def shown(detail: Mapping[str, Any], view: View) -> Item:
    """Return what a model reads of a message. As `body_of`, it holds up no other call."""
    return await anyio.to_thread.run_sync(_shown, detail, view, abandon_on_cancel=True)


def _body(detail: Mapping[str, Any]) -> "Body":
    from inkbox_mcp.mail.body import read_body  # loaded by the first message: that takes longer than reading it

    text, html = (_text(detail.get(name)) for name in ("body_text", "body_html"))
    return read_body(text, html, written(detail.get("subject"), 1000))


def _shown(detail: Mapping[str, Any], view: View) -> Item:
    body = _body(detail)
    text, notes = _source(detail) if view.format == "html" else _own(body, view)
    part = fenced(
        text,
        headers_of(detail),
        secrets.token_hex(8),
        max_chars=view.max_chars,
        offset=min(view.offset, MAX_OFFSET),
        how=view.how,
    )
    outbound = detail.get("direction") == "outbound"
    links = links_of(body)
    found = {
        "id": detail["id"],
        "thread_id": written(detail.get("thread_id"), MAX_ID),
        "status": written(detail.get("status"), MAX_WORD) if outbound else "",
        "text": "\n".join([part.text, *notes]),
        "next_offset": part.next_offset,
        "hidden_text_removed": body.hidden + body.invisible,
        "codes": [_code(code) for code in body.codes],
        "links": links,
        "links_left_out": body.links.left_out + len(body.links.found) - len(links),
        "attachments": attachments_of(detail),
        "attachments_left_out": max(len(list_of(detail.get("attachment_metadata"))) - MOST_ATTACHMENTS, 0),
    }
    return {name: value for name, value in found.items() if value}


def _source(detail: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the HTML of a message, and what to say about it."""
    from inkbox_mcp.mail.html import MAX_HTML

    html = _text(detail.get("body_html")) or ""
    if not html:
        return "", [_NO_HTML]
    return html[:MAX_HTML], [_UNREAD.format(count=len(html) - MAX_HTML)] if len(html) > MAX_HTML else []


def _own(body: "Body", view: View) -> tuple[str, list[str]]:
    """Return the text to show, and what to say about what was left out of it."""
    from inkbox_mcp.mail.quotes import split_quotes

    notes = [_UNREAD.format(count=body.unread)] if body.unread else []
    parts = split_quotes(body.text)
    # What was forwarded is mostly what the mail is about.
    if view.quoted or not parts.quoted or not parts.own or parts.is_forward:
        return body.text, notes
    return parts.own, [_QUOTES.format(count=parts.quoted, how=view.how), *notes]


def headers_of(detail: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a reader needs; the sender may be forged."""
    return {
        "From": sender_of(detail),
        "To": _people(detail.get("to_addresses")),
        "Cc": _people(detail.get("cc_addresses")),
        "Date": written(detail.get("created_at"), MAX_TIME),
        "Subject": written(detail.get("subject"), 400),
    }


def attachments_of(detail: Mapping[str, Any]) -> list[Item]:
    """Return the name, type and size of each of the first attachments, whatever else the API says about it."""
    return [_file(each) for each in files_of(detail, MOST_ATTACHMENTS)]


def files_of(detail: Mapping[str, Any], most: int | None = None) -> list[Item]:
    """Return what the API says about the first attachments, or about all, without what is no object."""
    files = list_of(detail.get("attachment_metadata"))[:most]
    return [cast("Item", each) for each in files if isinstance(each, dict)]


def _file(metadata: Item) -> Item:
    size = metadata.get("size")
    described = {
        "filename": written(metadata.get("filename"), MAX_NAME),
        "content_type": written(metadata.get("content_type"), 100),
        "size": size if isinstance(size, int) and 0 <= size < 1 << 53 else None,
    }
    return {name: value for name, value in described.items() if value not in (None, "")}


async def restore_unread(api: InkboxAPI, address: str, message_id: str) -> None:
    """Set a message back to unread that was read for nothing, also if the call is cancelled or out of time."""
    # A request of the call itself would be given up after the call's deadline, before it is sent.
    with anyio.move_on_after(SECONDS_TO_RESTORE, shield=True), begin(SECONDS_TO_RESTORE, request_id()):
        try:
            await api.patch(messages_of(address, message_id), {"is_read": False}, Result)
        except InkboxError:
            return


async def read_aside(api: InkboxAPI, address: str, message_id: str, row: Item | None) -> Item:
    """Get a message that the model is not shown, and leave it unread if it was.

    Args:
        api: of the caller.
        address: of the mailbox.
        message_id: of the message.
        row: the message before it is read, from `rows_by_id`; None if it cannot be had.
    """
    try:
        detail = await read_detail(api, address, message_id)
    except BaseException as error:  # cancelled, too: the API may have marked it read, although its answer is lost
        if row and is_unread(row) and not isinstance(error, NotFound):
            await restore_unread(api, address, message_id)
        raise
    # Without a row its own flag is the best that is known: the API may set it before or after it answers.
    if is_unread(row or detail):
        await restore_unread(api, address, message_id)
    return detail


async def read_unseen(api: InkboxAPI, address: str, message_id: str) -> Item:
    """Get a message that the model is not shown, with the flag that it had before it is read; see `read_aside`."""
    listed = await rows_by_id(api, address, [message_id])
    return await read_aside(api, address, message_id, listed.get(message_id))


async def restore_all_unread(api: InkboxAPI, address: str, message_ids: Iterable[str]) -> None:
    """Set messages back to unread side by side, as `restore_unread` does with one."""

    async def restore(message_id: str) -> None:
        await restore_unread(api, address, message_id)

    with anyio.move_on_after(SECONDS_TO_RESTORE, shield=True):
        await side_by_side(message_ids, restore)


def _people(addresses: object) -> str:
    known, names, room = list_of(addresses), list[str](), MOST_OF_RECIPIENTS
    for each in known:
        name = written(each, 200)
        room -= len(name) + 2
        if room < 0:
            break
        names.append(name)
    others = len(known) - len(names)
    return ", ".join(names) + (f" and {others:,} more" if others else "")


def _code(code: "Code") -> Item:
    return {"value": code.value, "score": code.score, "line": written(code.line, 120)}


def _link(link: "Link") -> Item:
    shown = {
        "url": link.url,
        "text": written(link.text, 80),
        "kind": link.kind if link.kind != "other" else None,
        "misleading": link.misleading or None,
    }
    return {"host": link.host, **{name: value for name, value in shown.items() if value}}


def links_of(body: "Body") -> list[Item]:
    """Return the links of a text, the most useful first, without those for which there is no room."""
    fitting: list[Link] = []
    room = MOST_OF_LINKS
    for link in body.links.found:
        if len(link.url) <= room:
            room -= len(link.url)
            fitting.append(link)
    return [_link(link) for link in fitting]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
