"""How tools read a message: its text between marks, the codes and links in it, and what was left out."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import anyio
from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.errors import InkboxError
from inkbox_mcp.mail.fence import fenced
from inkbox_mcp.toolkit.fields import Boolean, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.sent import ID, IDOrNull
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import Item, MessageID, messages_of, sender_of, written

if TYPE_CHECKING:
    from inkbox_mcp.mail.body import Body
    from inkbox_mcp.mail.codes import Code
    from inkbox_mcp.mail.links import Link

MAX_TEXT = 6000
"""Characters of a message's text that are shown if nothing else is asked for."""
MOST_ATTACHMENTS, MOST_RECIPIENTS = 50, 20
SECONDS_TO_RESTORE = 5.0

_QUOTES = "… {count:,} quoted characters were left out: quoted=true shows them"
_UNREAD = "… the end of this mail, {count:,} characters, is too long or too entangled to be read"


class GetMessage(Args):
    email_address: Address
    message_id: MessageID
    max_chars: Annotated[WholeNumber, Field(ge=100, le=50_000, description="Characters, 100-50000. Default: 6000.")] = (
        MAX_TEXT
    )
    offset: Annotated[WholeNumber, Field(ge=0, description="next_offset of the part before. Default: 0.")] = 0
    quoted: Annotated[Boolean, Field(description="Show quotations too. Default: false.")] = False
    format: Annotated[Literal["text", "html"], Field(description='html shows its source. Default: "text".')] = "text"


class MessageText(Result):
    """A message for a model. What it does not have is left out."""

    also: ClassVar[Also] = {
        "id": ID,
        "thread_id": IDOrNull,
        "status": str,
        "text": str,
        "next_offset": int,
        "hidden_text_removed": int,
        "codes": list[dict[str, Any]],
        "links": list[dict[str, Any]],
        "links_left_out": int,
        "attachments": list[dict[str, Any]],
    }


class Message(MessageText):
    id: ID


class Detail(Result):
    """A message as the API returns it, with its bodies."""

    id: ID


async def read_detail(api: InkboxAPI, address: str, message_id: str) -> Item:
    """Get a message with its bodies."""
    return (await api.get(messages_of(address, message_id), Detail)).model_dump(exclude_unset=True)


@dataclass(frozen=True, slots=True)
class View:
    """Which part of a message is shown; see `GetMessage`."""

    max_chars: int = MAX_TEXT
    offset: int = 0
    quoted: bool = False
    format: Literal["text", "html"] = "text"


async def body_of(detail: Mapping[str, Any]) -> "Body":
    """Read the body of a message in a thread, so that a long one holds up no other call."""
    from inkbox_mcp.mail.body import read_body  # loaded by the first message: that takes longer than reading it

    text, html = (_text(detail.get(name)) for name in ("body_text", "body_html"))
    return await anyio.to_thread.run_sync(
        read_body, text, html, written(detail.get("subject"), 1000), abandon_on_cancel=True
    )


async def shown(detail: Mapping[str, Any], view: View) -> Item:
    """Return what a model reads of a message."""
    body = await body_of(detail)
    text, notes = (_text(detail.get("body_html")) or "", list[str]()) if view.format == "html" else _own(body, view)
    nonce = secrets.token_hex(8)
    part = fenced(text, headers_of(detail), nonce, max_chars=view.max_chars, offset=view.offset)
    return {
        name: value
        for name, value in {
            "id": detail["id"],
            "thread_id": detail.get("thread_id"),
            "status": detail.get("status") if detail.get("direction") == "outbound" else None,
            "text": "\n".join([part.text, *notes]),
            "next_offset": part.next_offset,
            "hidden_text_removed": body.hidden + body.invisible,
            "codes": [_code(code) for code in body.codes],
            "links": [_link(link) for link in body.links.found],
            "links_left_out": body.links.left_out,
            "attachments": attachments_of(detail),
        }.items()
        if value not in (None, 0, [])
    }


def _own(body: "Body", view: View) -> tuple[str, list[str]]:
    """Return the text to show, and what to say about what was left out of it."""
    from inkbox_mcp.mail.quotes import split_quotes

    notes = [_UNREAD.format(count=body.unread)] if body.unread else []
    parts = split_quotes(body.text)
    if view.quoted or not parts.quoted or not parts.own:
        return body.text, notes
    return parts.own, [_QUOTES.format(count=parts.quoted), *notes]


def headers_of(detail: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a reader needs; the sender may be forged."""
    return {
        "From": sender_of(detail),
        "To": _people(detail.get("to_addresses")),
        "Cc": _people(detail.get("cc_addresses")),
        "Date": written(detail.get("created_at"), 40),
        "Subject": written(detail.get("subject"), 400),
    }


def attachments_of(detail: Mapping[str, Any]) -> list[Item]:
    """Return the name, type and size of each attachment, whatever else the API says about it."""
    found = detail.get("attachment_metadata")
    files = cast("list[object]", found)[:MOST_ATTACHMENTS] if isinstance(found, list) else []
    return [_file(cast("Item", each)) for each in files if isinstance(each, dict)]


def _file(metadata: Item) -> Item:
    known = {name: metadata[name] for name in ("filename", "content_type", "size") if name in metadata}
    return {name: written(value, 255) if isinstance(value, str) else value for name, value in known.items()}


async def restore_unread(api: InkboxAPI, address: str, message_id: str) -> None:
    """Set a message back to unread that was read for nothing, also if the call is cancelled."""
    with anyio.move_on_after(SECONDS_TO_RESTORE, shield=True):
        try:
            await api.patch(messages_of(address, message_id), {"is_read": False}, Result)
        except InkboxError:
            return


def _people(addresses: object) -> str:
    known = cast("list[object]", addresses) if isinstance(addresses, list) else []
    more = f" and {len(known) - MOST_RECIPIENTS} more" if len(known) > MOST_RECIPIENTS else ""
    return ", ".join(written(each, 200) for each in known[:MOST_RECIPIENTS]) + more


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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
