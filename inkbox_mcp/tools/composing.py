"""What a call is about to send, and what its question shows of it.

A call works it out once: after a question, exactly what it showed is sent.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, cast

import anyio.to_thread

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.outgoing import Outgoing, SendOperation
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.calls import current
from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.text import one_line
from inkbox_mcp.toolkit.attached_files import AttachedFile, attached
from inkbox_mcp.toolkit.bounds import cut
from inkbox_mcp.toolkit.mail_fields import MAX_SUBJECT
from inkbox_mcp.toolkit.operation import Result
from inkbox_mcp.toolkit.plain_text import without_encoded_words
from inkbox_mcp.toolkit.questions import Lines
from inkbox_mcp.tools.addressing import Recipients, author_of, everyone_of, people_of
from inkbox_mcp.tools.conversations import WholeThread, threads_of
from inkbox_mcp.tools.messages import Item, list_of, messages_of
from inkbox_mcp.tools.reading import attachments_of, body_of, read_unseen

EXCERPT = 300
"""Characters of a text that a question shows."""
_ANSWERED = re.compile(r"\s*(?:re|aw|sv|antw|odp|rif|回复|返信)\s*[:\uff1a]", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,998}")
_FORWARDED = re.compile(r"\s*(?:fwd?|wg|tr|rv|i|转发|転送)\s*[:\uff1a]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Letter:
    """What a call sends.

    Attributes:
        outgoing: what the API is asked for.
        mailbox: the full address that it is sent from.
        files: what is attached: the name, the type and the size of each.
        files_left_out: how many further files are attached.
        source: the message that is answered or forwarded; None for a new one.
    """

    outgoing: Outgoing
    mailbox: str
    files: Sequence[Item] = ()
    files_left_out: int = 0
    source: Item | None = None


Write = Callable[[InkboxAPI, Any], Awaitable[Letter]]


async def planned(api: InkboxAPI, args: Any, write: Write) -> Letter:
    """Return what this call sends."""
    call = current()
    if call.plan is None:
        call.plan = await write(api, args)
    return cast("Letter", call.plan)


async def new_letter(api: InkboxAPI, args: Any) -> Letter:
    """Work out a message of its own."""
    mailbox = await _mailbox(api, args)
    return await _written(api, args, mailbox, Recipients.of(args.to, args.cc, args.bcc), args.subject)


async def answer_letter(api: InkboxAPI, args: Any) -> Letter:
    """Work out the answer to a message."""
    mailbox = await _mailbox(api, args)
    source = await read_unseen(api, args.email_address, args.message_id)
    recipients = everyone_of(source, mailbox.email_address) if args.reply_all else author_of(source)
    return await _written(api, args, mailbox, recipients, _with("Re: ", _ANSWERED, source), source)


async def forward_letter(api: InkboxAPI, args: Any) -> Letter:
    """Work out what forwards a message with its attachments."""
    mailbox = await _mailbox(api, args)
    source = await read_unseen(api, args.email_address, args.message_id)
    body = {"mode": "inline", "include_original_attachments": True, **_texts(args)}
    outgoing = _outgoing(
        args,
        mailbox,
        Recipients.of(args.to),
        subject=_with("Fwd: ", _FORWARDED, source),
        operation="mail.forward",
        place=messages_of(args.email_address, args.message_id, Path("forward")),
        body=body,
    )
    files = attachments_of(source)
    left_out = len(list_of(source.get("attachment_metadata"))) - len(files)
    return Letter(outgoing, mailbox.email_address, files, left_out, source)


async def _written(
    api: InkboxAPI, args: Any, mailbox: "Mailbox", recipients: Recipients, subject: str, source: Item | None = None
) -> Letter:
    """Work out a message with a text and files of its own."""
    if not _texts(args):
        raise InvalidArguments("text: is required, unless there is html.")
    api.permit_recipients(recipients.everyone)  # before files are read
    files, uploads = await _read(args.attachments or ())
    body = {**_texts(args), **_answering(source), **({"attachments": uploads} if uploads else {})}
    outgoing = _outgoing(
        args,
        mailbox,
        recipients,
        subject=subject,
        operation="mail.send",
        place=messages_of(args.email_address),
        body=body,
        attachments=[f"{each.sha256} {each.content_type} {each.filename}" for each in files],
    )
    shown: list[Item] = [
        {"filename": each.filename, "content_type": each.content_type, "size": len(each.content)} for each in files
    ]
    return Letter(outgoing, mailbox.email_address, shown, source=source)


def _outgoing(
    args: Any,
    mailbox: "Mailbox",
    recipients: Recipients,
    *,
    subject: str,
    operation: SendOperation,
    place: Path,
    body: Item,
    attachments: Sequence[str] = (),
) -> Outgoing:
    return Outgoing(
        operation=operation,
        place=place,
        body={"recipients": recipients.lists(), "subject": subject, **body},
        mailbox_id=mailbox.id,
        sent=messages_of(args.email_address),
        to=recipients.to,
        cc=recipients.cc,
        bcc=recipients.bcc,
        subject=subject,
        key=args.idempotency_key,
        attachments=attachments,
    )


class Mailbox(Result):
    """The mailbox that a message is sent from."""

    id: str
    email_address: str


async def _mailbox(api: InkboxAPI, args: Any) -> Mailbox:
    """Get the mailbox. Its answer has the time by the API's clock, too."""
    return await api.get(path(MAILBOXES, args.email_address), Mailbox)


async def _read(sources: Sequence[str]) -> tuple[list[AttachedFile], list[Item]]:
    """Read what is to be attached, in a thread; also in the form that the API takes."""
    if not sources:
        return [], []
    return await anyio.to_thread.run_sync(_attached, sources, current().attachments_dir, abandon_on_cancel=True)


def _attached(sources: Sequence[str], folder: File | None) -> tuple[list[AttachedFile], list[Item]]:
    files = attached(sources, folder)
    return files, [_upload(each) for each in files]


def _upload(file: AttachedFile) -> Item:
    content = b64encode(file.content).decode()
    return {"filename": file.filename, "content_type": file.content_type, "content_base64": content}


def _answering(source: Item | None) -> Item:
    """Return how the API is told which message is answered. A stranger chose this id, so it must be plain."""
    message_id = source and source.get("message_id")
    is_plain = isinstance(message_id, str) and _MESSAGE_ID.fullmatch(message_id)
    return {"in_reply_to_message_id": message_id} if is_plain else {}


def _texts(args: Any) -> dict[str, str]:
    """Return the bodies of a call, by the API's names."""
    texts = {"body_text": args.text, "body_html": getattr(args, "html", None)}
    return {name: text for name, text in texts.items() if text}


def _with(prefix: str, known: re.Pattern[str], source: Item) -> str:
    """Return the subject of a message with a prefix, unless it has one of this kind."""
    subject = one_line(str(source.get("subject") or "")[: 2 * MAX_SUBJECT])
    try:
        without_encoded_words(subject)
    except ValueError:  # mail programs would show it in another form than the question does
        subject = one_line(unicodedata.normalize("NFKC", subject).replace("?", " "))
    return cut(subject if known.match(subject) else f"{prefix}{subject}".strip(), MAX_SUBJECT)


async def stays_in_thread(api: InkboxAPI, args: Any, letter: Letter) -> bool:
    """Whether a message goes only to people who wrote or received messages of its thread."""
    source = letter.source or {}
    to = {address.casefold() for address in letter.outgoing.recipients}
    if to <= people_of([source]):
        return True
    if not (thread_id := source.get("thread_id")):
        return False
    thread = await api.get(threads_of(args.email_address, str(thread_id)), WholeThread)
    return to <= people_of(thread.messages)


QUESTION = "{what}\nFrom: {mailbox}\n{recipients}\nSubject: {title}\nAttachments: {files}\n{excerpts}"
"""The question before a message is sent."""


async def facts_of(args: Any, letter: Letter, what: str) -> Mapping[str, str]:
    """Return what the question shows of a message, and what an answer to it stands for.

    Args:
        args: of the call.
        letter: the message.
        what: the first line.
    """
    outgoing = letter.outgoing
    lists = {"To": outgoing.to, "Cc": outgoing.cc, "Bcc": outgoing.bcc}
    files = [
        *map(_described, letter.files),
        *([f"and {letter.files_left_out:,} more"] if letter.files_left_out else []),
    ]
    return {
        "what": Lines.of(what),
        "mailbox": letter.mailbox,
        "recipients": Lines.of(*(f"{name}: {', '.join(some)}" for name, some in lists.items() if some)),
        "title": Lines.of(outgoing.subject),
        "files": Lines.of(", ".join(files) or "none"),
        "excerpts": Lines.of(*await _excerpts(args, letter)),
        "content": outgoing.content,
    }


def _described(file: Item) -> str:
    size = f"{file['size']:,} bytes" if "size" in file else "of unknown size"
    return f"{file.get('filename', '(no name)')} ({size})"


async def _excerpts(args: Any, letter: Letter) -> list[str]:
    """Return the begin of the text, of what people see of the HTML, and of a message that is forwarded.

    Of the HTML and that message, it also says how much people do not see.
    """
    texts, lines = _texts(args), list[str]()
    if "body_text" in texts:
        lines.append(f"Text: {await _begin(texts['body_text']) or '(blank)'}")
    if "body_html" in texts:
        lines += await _seen("HTML", {"body_html": texts["body_html"]})
    if letter.source and letter.outgoing.operation == "mail.forward":
        lines += await _seen_both(letter.source)
    return lines


async def _seen_both(message: Item) -> list[str]:
    """Return the begin of a message, and of its HTML where that says something else: both are forwarded."""
    lines = await _seen("Message", message)
    if html := message.get("body_html"):
        first, *counts = await _seen("Message", {"body_html": html})
        if first != lines[0]:
            return [lines[0], f"As HTML{first.removeprefix('Message')}", *counts]
    return lines


async def _seen(name: str, detail: Item) -> list[str]:
    seen = await body_of(detail)
    nothing = "…" if seen.unread else "(no text that people see)"
    missing = {"Hidden in it": seen.hidden, "Not read of it": seen.unread}
    lines = [f"{name}: {await _begin(seen.text) or nothing}"]
    return lines + [f"{what}: {count:,} characters" for what, count in missing.items() if count]


async def _begin(text: str) -> str:
    """Return the first characters that people see, in a thread: all before them may be blank or hidden."""
    return cut(await anyio.to_thread.run_sync(one_line, text, abandon_on_cancel=True), EXCERPT)
