"""AgentMail as a model reads it: the sizes of its tools, and what its tools answer for a mailbox.

Nothing here talks to AgentMail. Its npm package agentmail-mcp 1.0.2 only passes on what https://mcp.agentmail.to/mcp
answers to a key (packages/npm-stdio-bridge/src/index.ts in github.com/agentmail-to/agentmail-mcp, commit 8bed271).

**Measured:** `agentmail_tools.json` has the bytes of each tool in mcp-manifest.json of that commit: what a client with
a key gets from that server (scripts/generate-manifest.mjs), as its checks make sure (scripts/check-contract.mjs).
`python -m benchmarks.mail_bytes --listing FILE SOURCE` makes it from a manifest, or from the result of `tools/list`.

**Modelled:** the answers. Their fields are those of the types in agentmail 0.5.27 on npm
(dist/cjs/api/resources/messages/types/Message.d.ts, MessageItem.d.ts; threads/types/Thread.d.ts;
attachments/types/AttachmentResponse.d.ts), as far as the result schemas of the manifest have them, as compact JSON,
which node/src/mcp.ts of agentmail-toolkit writes. They are filled with the mails of `tests.support.correspondence`.
Bodies come as text and html, and both once more without quotations (https://docs.agentmail.to/reply-extraction). What
is not known is taken as short or left out: previews of 100 characters, the address of a file of 500, no headers, no
highlights of a search, no instructions of the server.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from tests.support.correspondence import ADDRESS, LETTERS, Letter, message_id, pdf

SIZES = Path(__file__).with_suffix("").with_name("agentmail_tools.json")
PAGE = 10
"""Items of a page unless a call says otherwise."""

MAIL_TOOLS = frozenset(
    {
        *("list_threads", "search_threads", "get_thread", "update_thread", "delete_thread", "get_attachment"),
        *("list_messages", "search_messages", "send_message", "reply_to_message", "forward_message", "update_message"),
    }
)
"""Those that do what this server's toolset `mail` does; its npm package can be told to offer only these."""

Data = dict[str, Any]

_SPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_PREVIEW, _TOKEN, _URL = 100, 80, 500


class AgentMail:
    """A mailbox at AgentMail with the mails of `LETTERS`, and the tools that the five jobs need.

    Args:
        with_html: whether the mails have HTML, too.
    """

    def __init__(self, with_html: bool = True) -> None:
        self._with_html = with_html

    def list_messages(self, letters: Sequence[Letter]) -> Data:
        """Return a page of messages, newest first."""
        token = {"nextPageToken": "x" * _TOKEN} if len(letters) > PAGE else {}
        shown = list(reversed(letters))[:PAGE]
        return {"count": len(shown), **token, "messages": [self._item(letter) for letter in shown]}

    def get_thread(self, letter: Letter) -> Data:
        """Return the conversation of a mail, with the bodies of its messages."""
        thread = _thread(letter)
        last = self._item(thread[-1])
        size = sum(self._item(each)["size"] for each in thread)
        return {
            **{name: last[name] for name in ("inboxId", "threadId", "labels", "timestamp")},
            "receivedTimestamp": last["timestamp"],
            "senders": list(dict.fromkeys(each.sender for each in thread)),
            "recipients": [ADDRESS],
            **{name: last[name] for name in ("subject", "preview")},
            **({"attachments": files} if (files := [file for each in thread for file in _files(each)]) else {}),
            "lastMessageId": thread[-1].message_id,
            "messageCount": len(thread),
            "size": size,
            **{name: last[name] for name in ("updatedAt", "createdAt")},
            "messages": [self._message(each) for each in thread],
        }

    def get_attachment(self, letter: Letter) -> Data:
        """Return where the file of a mail is, and its text. No tool saves it."""
        (file,) = _files(letter)
        _, words = letter.file or ("", "")
        address = f"https://cdn.agentmail.to/{file['attachmentId']}?"
        expires = _time(letter, hours=1)
        return {**file, "downloadUrl": address.ljust(_URL, "x"), "expiresAt": expires, "text": words}

    def sent(self, letter: Letter) -> Data:
        """Return what reply_to_message and forward_message answer."""
        return {"messageId": message_id(f"sent{letter.name}"), "threadId": _id(_thread(letter)[0].name)}

    def update_thread(self, letter: Letter) -> Data:
        """Return the labels that a conversation has then."""
        return {"threadId": _id(_thread(letter)[0].name), "labels": ["received", "archive"]}

    def _item(self, letter: Letter) -> Data:
        time = _time(letter)
        return {
            "inboxId": ADDRESS,
            "threadId": _id(_thread(letter)[0].name),
            "messageId": letter.message_id,
            "labels": ["received", "unread"] if letter.unread else ["received"],
            "timestamp": time,
            "from": letter.sender,
            "to": [ADDRESS],
            "subject": letter.subject,
            "preview": " ".join(letter.text.split())[:_PREVIEW],
            **({"attachments": _files(letter)} if letter.file else {}),
            **({"inReplyTo": message_id(letter.answers[-1])} if letter.answers else {}),
            **({"references": [message_id(name) for name in letter.answers]} if letter.answers else {}),
            "size": len(bytes(letter.written(self._with_html))),
            "updatedAt": time,
            "createdAt": time,
        }

    def _message(self, letter: Letter) -> Data:
        bodies = {"text": letter.whole_text, "extractedText": letter.text}
        if self._with_html:
            bodies |= {"html": letter.whole_html, "extractedHtml": letter.own_html}
        return {**self._item(letter), **bodies}


def jobs(server: AgentMail) -> dict[str, list[Data]]:
    """Return what a model reads for each job of `MAIL_JOBS`, by the calls that the tools allow with the least answers.

    A call finds exactly what is looked for, and the mail with the code is there when it is looked for: the tools have
    none that waits.
    """
    of = {letter.name: letter for letter in LETTERS}
    unread = [letter for letter in LETTERS if letter.unread]
    code, customer, invoice = of["code1"], of["tom1"], of["may77"]
    complaint = _thread(of["ruth1"])
    return {
        "get a code": [server.list_messages([code]), server.get_thread(code)],
        "answer a customer": [server.list_messages(LETTERS), server.get_thread(customer), server.sent(customer)],
        "save an invoice": [server.list_messages([invoice]), server.get_attachment(invoice)],
        "what is unread": [server.list_messages(unread)],
        "hand over": [
            server.list_messages(complaint),
            *(server.get_thread(complaint[0]), server.sent(complaint[-1]), server.update_thread(complaint[0])),
        ],
    }


def tools(sizes: Path = SIZES) -> dict[str, dict[str, int]]:
    """Return the bytes of each tool: `read` of name, description and input schema, and `whole`."""
    return json.loads(sizes.read_text(encoding="utf-8"))["tools"]


def _thread(letter: Letter) -> list[Letter]:
    first = letter.answers[0] if letter.answers else letter.name
    return [each for each in LETTERS if first in (each.name, *each.answers)]


def _files(letter: Letter) -> list[Data]:
    if letter.file is None:
        return []
    name, words = letter.file
    kind = {"contentType": "application/pdf", "contentDisposition": "attachment"}
    return [{"attachmentId": _id(name), "filename": name, "size": len(pdf(words)), **kind}]


def _id(name: str) -> str:
    return str(uuid5(_SPACE, name))


def _time(letter: Letter, hours: int = 0) -> str:
    moment = datetime(2026, 6, 1, 8, tzinfo=UTC) + timedelta(hours=LETTERS.index(letter) + hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
