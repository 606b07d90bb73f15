"""An Inkbox that sends mail, whose time and faults a test sets; it records every message that left."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs
from uuid import NAMESPACE_DNS, UUID, uuid5

import anyio
import httpx2
from pydantic import BaseModel, SecretStr

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.api.outgoing import Outgoing, SendOperation, Sent
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.calls import Call, begin
from tests.support.agents import KEY

EPOCH = 1_780_000_200.0
"""The time of the API, in seconds since 1970, at the time 0 of the event loop: the beginning of a window."""
FOOTER = "\n--\nSent with Inkbox"

Shape = Literal["detail.error", "detail.code", "error"]
SHAPES: tuple[Shape, ...] = ("detail.error", "detail.code", "error")


@dataclass(frozen=True)
class Fault:
    """What becomes of a request.

    Attributes:
        name: for the report of a failed test.
        effect: seconds after which it is carried out; None if it is not.
        answer: makes what comes back: an answer, a broken connection, or None for nothing at all; without this
            function, it is the true answer.
        delay: seconds before that; an answer is dated before them.
    """

    name: str
    effect: float | None = 0.0
    answer: Callable[[], httpx2.Response | Exception | None] | None = None
    delay: float = 0.0


def answers(status: int, reason: str | None = None, retry_after: int | None = None) -> Callable[[], httpx2.Response]:
    """Make an error's answer."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda: httpx2.Response(status, headers=headers, json={"detail": {"error": reason} if reason else "oops"})


FINE = Fault("fine")
REFUSED = Fault("refused", None, lambda: httpx2.ConnectError("refused"))
LIMITED = Fault("429", None, answers(429))
LIMITED_2S = Fault("429, 2 s", None, answers(429, retry_after=2))
BUSY = Fault("503", None, answers(503))
BUSY_2S = Fault("503, 2 s", None, answers(503, retry_after=2))
BUSY_AFTER = Fault("503 after", 0.0, answers(503))
CUT_BEFORE = Fault("cut before", None, lambda: httpx2.ReadError("cut off"))
CUT_AFTER = Fault("cut after", 0.0, lambda: httpx2.ReadError("cut off"))
CUT_AND_LATE = Fault("cut, 3 s before", 3.0, lambda: httpx2.ReadError("cut off"))
HANGS_BEFORE = Fault("hangs before", None, lambda: None)
HANGS_AFTER = Fault("hangs after", 0.0, lambda: None)
GATEWAY_BEFORE = Fault("502 before", None, answers(502))
GATEWAY_AFTER = Fault("504 after", 0.0, answers(504))
GATEWAY_AND_LATE = Fault("504, 1 s before", 1.0, answers(504))
BROKEN_BEFORE = Fault("500 before", None, answers(500))
BROKEN_AFTER = Fault("500 after", 0.0, answers(500))
AMBIGUOUS_BEFORE = Fault("ambiguous before", None, answers(503, "send_outcome_ambiguous"))
AMBIGUOUS_AFTER = Fault("ambiguous after", 0.0, answers(503, "send_outcome_ambiguous", retry_after=1))
UNREADABLE = Fault("unreadable", 0.0, lambda: httpx2.Response(200, text='{"id": '))
SLOW = Fault("slow", delay=1.5)

REFUSALS = (REFUSED, LIMITED, LIMITED_2S)
"""After these, nothing has left."""
LOSSES = (
    *(CUT_BEFORE, CUT_AFTER, CUT_AND_LATE, HANGS_BEFORE, HANGS_AFTER, GATEWAY_BEFORE, GATEWAY_AFTER, GATEWAY_AND_LATE),
    *(BROKEN_BEFORE, BROKEN_AFTER, AMBIGUOUS_BEFORE, AMBIGUOUS_AFTER, UNREADABLE, BUSY, BUSY_2S, BUSY_AFTER),
)
"""After these, something may have left."""
FAULTS = (*REFUSALS, *LOSSES, SLOW)


@dataclass
class Left:
    """A message that left.

    Attributes:
        number: makes its id.
        mailbox: its address.
        body: as it was posted.
        call: the id of the call that sent it.
        key: the idempotency key.
        operation: `mail.send` or `mail.forward`.
        posted: when its request came, in seconds of the event loop's clock.
        time: when it left; it is also when it was created.
        visible: since when the list shows it.
    """

    number: int
    mailbox: str
    body: dict[str, Any]
    call: str
    key: str | None
    operation: str
    posted: float
    time: float
    visible: float

    @property
    def id(self) -> str:
        """Return its id."""
        return str(UUID(int=self.number))


@dataclass
class Outbox:
    """Answers requests.

    Attributes:
        generation: of the API.
        left: what left, oldest first.
        faults: of the next requests that send.
        reading_faults: of the next other requests.
        usual: the fault of each request for which there is no other.
        shape: where a refusal has its reason.
        ahead: seconds by which the API's clock is ahead of `EPOCH`.
        late: seconds until the list shows a new message.
        keeps_results: whether a key that was used is answered by the first answer, and not by `result_unavailable`.
        timed: whether messages have the time when they were made.
        keys: the idempotency key of each request that sends.
        looked_before: when each call was shown the list last before it sent, in seconds of the event loop's clock.
    """

    generation: Generation
    left: list[Left] = field(default_factory=list[Left])
    faults: list[Fault] = field(default_factory=list[Fault])
    reading_faults: list[Fault] = field(default_factory=list[Fault])
    usual: Callable[[httpx2.Request], Fault] = lambda _: FINE
    shape: Shape = "detail.error"
    ahead: float = 0.0
    late: Callable[[], float] = lambda: 0.0
    keeps_results: bool = True
    timed: bool = True
    keys: list[str | None] = field(default_factory=list[str | None])
    looked_before: dict[str, float] = field(default_factory=dict[str, float])
    _posting: set[str] = field(default_factory=set[str])
    _working: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])

    @property
    def now(self) -> float:
        """Return the API's time, in seconds since 1970."""
        return EPOCH + self.ahead + anyio.current_time()

    def posts(self) -> int:
        """Count the requests that send."""
        return len(self.keys)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        is_post = request.method == "POST"
        if is_post:
            self.keys.append(request.headers.get("Idempotency-Key"))
            self._posting.add(request.headers["X-Request-ID"])
        scripted = self.faults if is_post else self.reading_faults
        fault = scripted.pop(0) if scripted else self.usual(request)
        result = self._post(request, fault.effect) if is_post else None
        date = formatdate(self.now, usegmt=True)
        await anyio.sleep(fault.delay)
        if fault.answer is None:
            answer: httpx2.Response | Exception | None = result or self._read(request)
        else:
            answer = fault.answer()
        if answer is None:
            await anyio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        answer.headers["Date"] = date
        return answer

    def _post(self, request: httpx2.Request, effect: float | None) -> httpx2.Response | None:
        """Send a message, now or later; return the true answer, if it is known by now."""
        if effect is None:
            return None
        parts = request.url.path.split("/")[5:]
        operation = "mail.forward" if parts[-1] == "forward" else "mail.send"
        key = request.headers.get("Idempotency-Key") if self.generation == "identity" else None
        body = json.loads(request.content)
        name = (parts[0], operation, key or "")
        if key:
            if name in self._working:
                return self._refusal("idempotency_in_progress")
            if first := next((m for m in self.left if (m.mailbox, m.operation, m.key) == name), None):
                if first.body != body:
                    return self._refusal("idempotency_key_reused")
                return self._accepted(first) if self.keeps_results else self._refusal("result_unavailable")
        if effect == 0:
            return self._accepted(self._leave(request, name, body, anyio.current_time()))
        if key:
            self._working.add(name)
        asyncio.get_running_loop().call_later(effect, self._leave, request, name, body, anyio.current_time())
        return None

    def _leave(self, request: httpx2.Request, name: tuple[str, str, str], body: dict[str, Any], posted: float) -> Left:
        self._working.discard(name)
        mailbox, operation, key = name
        now = asyncio.get_running_loop().time()
        call = request.headers["X-Request-ID"]
        mail = Left(len(self.left) + 1, mailbox, body, call, key or None, operation, posted, now, now + self.late())
        self.left.append(mail)
        return mail

    def _refusal(self, reason: str) -> httpx2.Response:
        body: dict[str, Any] = {
            "detail.error": {"detail": {"error": reason, "message": "No."}},
            "detail.code": {"detail": {"code": reason, "message": "No."}},
            "error": {"error": reason, "message": "No."},
        }[self.shape]
        return httpx2.Response(409, json=body)

    def _accepted(self, mail: Left) -> httpx2.Response:
        return httpx2.Response(201, json=self._row(mail))

    def _row(self, mail: Left) -> dict[str, Any]:
        to = mail.body["recipients"]
        made = datetime.fromtimestamp(EPOCH + self.ahead + mail.time, UTC)
        return {
            "id": mail.id,
            "thread_id": mail.id,
            "to_addresses": to["to"],
            "cc_addresses": to.get("cc"),
            "subject": mail.body["subject"],
            "direction": "outbound",
            "status": "queued",
            "created_at": made.isoformat() if self.timed else "yesterday",
        }

    def _read(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/api/v1/webhooks/subscriptions":
            return _json({"subscriptions": []}) if self.generation == "identity" else _missing()
        query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        if request.url.path == "/api/v1/message-sends/lookup" and self.generation == "identity":
            key = request.headers["Idempotency-Key"]
            found = [
                mail
                for mail in self.left
                if (mail.key, mail.operation) == (key, query["operation"])
                and mailbox_id(mail.mailbox) == query["sender_id"]
            ]
            return _json({"message_id": found[0].id}) if found else _missing()
        parts = request.url.path.split("/")[5:]
        mails = [mail for mail in self.left if mail.mailbox == parts[0] and mail.visible <= anyio.current_time()]
        match parts[1:]:
            case []:
                shown = "inbound_filter_mode" if self.generation == "identity" else "status"
                return _json({"id": mailbox_id(parts[0]), "email_address": parts[0], shown: "active"})
            case ["messages"]:
                if (call := request.headers["X-Request-ID"]) not in self._posting:
                    self.looked_before[call] = anyio.current_time()
                return self._page(mails, query)
            case ["messages", name]:
                known = next((mail for mail in self.left if mail.mailbox == parts[0] and mail.id == name), None)
                return self._detail(known) if known else _missing()
            case _:
                return _missing()

    def _detail(self, mail: Left) -> httpx2.Response:
        bodies = {name: f"{text}{FOOTER}" for name, text in mail.body.items() if name.startswith("body_")}
        return _json({**self._row(mail), **bodies, "bcc_addresses": mail.body["recipients"].get("bcc") or []})

    def _page(self, mails: list[Left], query: dict[str, str]) -> httpx2.Response:
        before = int(query.get("cursor", 1 << 60))
        ordered = sorted((mail for mail in mails if mail.number < before), key=lambda mail: -mail.number)
        found = ordered[: int(query["limit"])]
        cursor = str(found[-1].number) if len(ordered) > len(found) else None
        return _json({"items": [self._row(mail) for mail in found], "next_cursor": cursor, "has_more": bool(cursor)})


def _json(body: Any) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def _missing() -> httpx2.Response:
    return httpx2.Response(404, json={"detail": "Not Found"})


def mailbox_id(address: str) -> str:
    """Return the id of a mailbox."""
    return str(uuid5(NAMESPACE_DNS, address))


@dataclass(frozen=True)
class Content:
    """What a call sends.

    Attributes:
        mailbox: the address that it is sent from.
        forwarded: the id of the message that is forwarded; None for a message of its own.
    """

    text: str = "The numbers."
    subject: str = "Report"
    to: tuple[str, ...] = ("ann@example.com",)
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    mailbox: str = "sales@inkboxmail.com"
    forwarded: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """Return what is posted."""
        recipients = {"to": [*self.to], **({"cc": [*self.cc]} if self.cc else {})}
        recipients |= {"bcc": [*self.bcc]} if self.bcc else {}
        return {"recipients": recipients, "subject": self.subject, "body_text": self.text}

    @property
    def likeness(self) -> tuple[object, ...]:
        """Return what a list shows of it."""
        return self.mailbox, self.subject, self.to, self.cc, self.bcc

    def is_in(self, mail: Left) -> bool:
        """Whether it is what left."""
        operation = "mail.forward" if self.forwarded else "mail.send"
        return (mail.mailbox, mail.body, mail.operation) == (self.mailbox, self.body, operation)

    def outgoing(self, key: str | None = None) -> Outgoing:
        """Return it as the API takes it."""
        sent = path(MAILBOXES, self.mailbox, Path("messages"))
        operation: SendOperation = "mail.forward" if self.forwarded else "mail.send"
        place = path(sent, self.forwarded, Path("forward")) if self.forwarded else sent
        return Outgoing(
            operation=operation,
            place=place,
            body=self.body,
            mailbox_id=mailbox_id(self.mailbox),
            sent=sent,
            to=self.to,
            cc=self.cc,
            bcc=self.bcc,
            subject=self.subject,
            key=key,
        )


class _Mailbox(BaseModel):
    id: str


A = TypeVar("A", bound=InkboxAPI)


def process(outbox: Outbox, api: Callable[[Connection, SecretStr], A] = InkboxAPI) -> A:
    """Start a process that remembers nothing."""
    connection = Connection("https://inkbox.example", concurrency=32, transport=lambda: httpx2.MockTransport(outbox))
    return api(connection, SecretStr(KEY))


async def send(
    api: InkboxAPI, content: Content, key: str | None = None, *, seconds: float = 30, began: list[Call] | None = None
) -> Sent:
    """Send as a tool does: look at the mailbox first.

    Args:
        api: of the process.
        content: what to send.
        key: the caller's own idempotency key.
        seconds: that the call may take.
        began: takes the call.
    """
    with begin(seconds) as call:
        if began is not None:
            began.append(call)
        await api.get(path(MAILBOXES, content.mailbox), _Mailbox)
        return await api.send(content.outgoing(key))
