"""An Inkbox whose mail, time and faults a test sets, as far as waiting for messages needs it."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import anyio
import httpx2

EPOCH = 1_780_000_000
"""The time of the API, in seconds since 1970, at the time 0 of the event loop."""

Fault = httpx2.Response | Exception | Callable[[], Awaitable[httpx2.Response | None]]


@dataclass
class Mail:
    """A received message.

    Attributes:
        created: in microseconds since 1970, by the API's clock.
        number: makes its id; a lower number sorts first.
        visible: since when lists show it, in seconds of the event loop's clock.
    """

    created: int
    number: int
    subject: str = "Hello"
    text: str = "Hello there."
    sender: str = "ann@example.com"
    visible: float = 0.0
    is_read: bool = False
    folder: str = "inbox"

    @property
    def id(self) -> str:
        """Return its id."""
        return str(UUID(int=self.number))

    def row(self) -> dict[str, Any]:
        """Return what a list shows."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.created)
        return {
            "id": self.id,
            "thread_id": self.id,
            "from_address": self.sender,
            "to_addresses": ["sales@inkboxmail.com"],
            "subject": self.subject,
            "snippet": self.text[:100],
            "direction": "inbound",
            "status": "received",
            "is_read": self.is_read,
            "created_at": moment.isoformat(),
        }


def api_time(ago: float = 0.0) -> int:
    """Return the API's time, in microseconds since 1970."""
    return round((EPOCH + anyio.current_time() - ago) * 1_000_000)


@dataclass
class Mailroom:
    """Answers requests.

    Attributes:
        mails: by mailbox.
        faults: answers in place of the next ones; a function is called first, and None lets the request through.
        usual: the fault of each request for which there is no other.
        asked: each request: its moment, key, method and path with query.
        marks_read: whether reading a message marks it read.
        dated: whether answers have the API's date.
    """

    marks_read: bool = False
    dated: bool = True
    mails: dict[str, list[Mail]] = field(default_factory=dict[str, list[Mail]])
    faults: list[Fault] = field(default_factory=list[Fault])
    usual: Callable[[httpx2.Request], Fault | None] = lambda _: None
    asked: list[tuple[float, str, str, str]] = field(default_factory=list[tuple[float, str, str, str]])

    def receive(self, *mails: Mail, mailbox: str = "sales") -> None:
        """Put mail into a mailbox."""
        self.mails.setdefault(mailbox, []).extend(mails)

    def delete(self, number: int, mailbox: str = "sales") -> None:
        """Delete a message."""
        self.mails[mailbox] = [mail for mail in self.mails[mailbox] if mail.number != number]

    def polls(self) -> Counter[str]:
        """Count the requests for the newest messages by key and mailbox."""
        return Counter(f"{key} {path.split('/')[5]}" for _, key, _, path in self.asked if "limit=10" in path)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        path = request.url.raw_path.decode()
        self.asked.append((anyio.current_time(), request.headers["X-API-Key"], request.method, path))
        fault = self.faults.pop(0) if self.faults else self.usual(request)
        if callable(fault):
            fault = await fault()
        if isinstance(fault, Exception):
            raise fault
        answer = fault or self._answer(request)
        if self.dated:
            answer.headers["Date"] = formatdate(EPOCH + anyio.current_time(), usegmt=True)
        return answer

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        parts = request.url.path.split("/")[5:]
        mails = self.mails.setdefault(parts[0].partition("@")[0], [])
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        match parts[1:]:
            case ["messages"]:
                return httpx2.Response(200, json=self._page(mails, query))
            case ["messages", name]:
                return self._message(request, next((mail for mail in mails if mail.id == name), None))
            case ["threads"]:
                spam = [mail for mail in mails if mail.folder == query["folder"]]
                rows = [{"id": mail.id, "last_message_at": mail.row()["created_at"]} for mail in spam]
                return httpx2.Response(200, json={"items": rows, "has_more": False})
            case ["threads", name]:
                rows = [mail.row() for mail in mails if mail.id == name]
                return httpx2.Response(200, json={"id": name, "folder": "spam", "messages": rows})
            case _:
                return httpx2.Response(200, json={"email_address": parts[0]})

    def _page(self, mails: list[Mail], query: dict[str, str]) -> dict[str, Any]:
        shown = [mail for mail in mails if mail.visible <= anyio.current_time()]
        ordered = sorted(shown, key=lambda mail: (mail.created, mail.number), reverse=True)
        if "cursor" in query:
            created, number = map(int, query["cursor"].split("."))
            ordered = [mail for mail in ordered if (mail.created, mail.number) < (created, number)]
        found = ordered[: int(query["limit"])]
        more = len(ordered) > len(found)
        cursor = f"{found[-1].created}.{found[-1].number}" if more else None
        return {"items": [mail.row() for mail in found], "has_more": more, "next_cursor": cursor}

    def _message(self, request: httpx2.Request, mail: Mail | None) -> httpx2.Response:
        if mail is None:
            return httpx2.Response(404, json={"detail": "Message not found"})
        if request.method == "PATCH":
            mail.is_read = b'"is_read":true' in request.content.replace(b" ", b"")
        elif self.marks_read:
            mail.is_read = True
        return httpx2.Response(200, json={**mail.row(), "body_text": mail.text})
