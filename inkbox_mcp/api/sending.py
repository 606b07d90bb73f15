"""Send a message at most once, even when the answer is lost, the process is killed, or the call is repeated.

The identity generation has idempotency keys: under one key at most one message leaves. The key is the caller's own, or
it is made of the message and the `WINDOW` of the API's clock, so that a repetition has the same key, and the same
message of tomorrow has another one. A window may end between a call and its repetition; so the key of the window before
is looked up first.

The spec generation has no keys, and a lost request must not be repeated. So one with the same recipients and subject is
looked for among the mailbox's sent messages: before a message is sent for the first time, and after its answer was
lost. Texts are not compared, because the API adds a footer to some.

This process also remembers what it sent. Calls that send the same take turns.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import anyio
import stamina
from pydantic import BaseModel, ConfigDict

from inkbox_mcp.api.paths import SEND_LOOKUP, Path, path
from inkbox_mcp.api.retries import ATTEMPTS
from inkbox_mcp.calls import current
from inkbox_mcp.errors import Conflict, InkboxError, KeyReused, NotFound, OutcomeUnknown, Unavailable
from inkbox_mcp.mail.positions import moment

if TYPE_CHECKING:
    from inkbox_mcp.api.client import InkboxAPI

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WINDOW = 600.0
"""Seconds in which the same message is taken for a repetition."""
PAUSES = (0.25, 0.75)
"""Seconds before each further look for a message whose answer was lost, because the request may still be running."""
PAUSE_IN_PROGRESS = 0.5
"""Seconds before the same key is tried again, if the API is working on it and does not say how long."""
MOST_TRIES = 100
"""Requests under the same key while the API is working on it."""
REMEMBERED = 1000
"""Messages that a process remembers with each key."""
PAGE, MOST_PAGES = 50, 5
"""Sent messages that a page of the API's list has, and the most pages that are searched."""
_SKEW = 1.0
"""HTTP dates have no fractions of a second."""

SendOperation = Literal["mail.send", "mail.forward"]


class SentMessage(BaseModel):
    """A message as the API accepted or lists it."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    id: str


class _Page(BaseModel):
    """A page of the API's list of sent messages."""

    items: list[SentMessage]
    next_cursor: str | None = None


class _Found(BaseModel):
    """What a look-up of a key answers."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent.

    Attributes:
        operation: the API's name of what is asked for; each has keys of its own.
        place: the path that it is posted to.
        body: what is posted.
        mailbox_id: the id of the mailbox that it is sent from.
        sent: the path of the mailbox's messages.
        to: addresses; so are `cc` and `bcc`.
        subject: as it will be sent.
        key: the caller's own idempotency key.
        attachments: the SHA-256 of each attachment, which stand for their contents.
    """

    operation: SendOperation
    place: Path
    body: Mapping[str, Any] = field(repr=False)
    mailbox_id: str
    sent: Path
    to: Sequence[str]
    subject: str
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    key: str | None = None
    attachments: Sequence[str] = ()

    @property
    def recipients(self) -> list[str]:
        """All addresses."""
        return [*self.to, *self.cc, *self.bcc]

    @property
    def content(self) -> str:
        """What tells it from other messages: a hash of everything that is posted."""
        body = {name: value for name, value in self.body.items() if not name.endswith("attachments")}
        body["attached"] = [*self.attachments]
        return _hash(self.operation, self.place, body)

    @property
    def likeness(self) -> str:
        """What it has in common with messages that look like it in a list: a hash of recipients and subject."""
        return _hash(self.sent, *self._outside())

    def is_like(self, message: Mapping[str, Any]) -> bool:
        """Whether a sent message has the same recipients, as far as it shows them, and the same subject."""
        to, cc, bcc, subject = self._outside()
        shown = [_addresses(message.get(name)) for name in ("to_addresses", "cc_addresses")]
        hidden = _addresses(message["bcc_addresses"]) if "bcc_addresses" in message else bcc
        return [*shown, hidden, _plain(message.get("subject"))] == [to, cc, bcc, subject]

    def _outside(self) -> tuple[list[str], list[str], list[str], str]:
        return _addresses(self.to), _addresses(self.cc), _addresses(self.bcc), _plain(self.subject)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message.

    Attributes:
        message: as the API shows it.
        replayed: whether it had left before this call, which sent nothing.
        recovered: whether its answer was lost, and it was found afterwards.
    """

    message: SentMessage
    replayed: bool = False
    recovered: bool = False


class Sending:
    """Sends messages with one Inkbox key, and remembers them.

    Args:
        api: sends the requests.
    """

    def __init__(self, api: "InkboxAPI") -> None:
        self._api = api
        self._by_content: OrderedDict[str, tuple[float, SentMessage]] = OrderedDict()
        self._by_key: OrderedDict[tuple[str, str], tuple[str, SentMessage]] = OrderedDict()
        self._ids: OrderedDict[str, None] = OrderedDict()

    async def with_key(self, outgoing: Outgoing) -> Sent:
        """Send a message where the API has idempotency keys.

        Raises:
            KeyReused: the caller's key stands for another message.
            OutcomeUnknown: the message may or may not have left.
            InkboxError: it has not.
        """
        started = _now()
        key, before = outgoing.key, None
        if key is None:
            window = int(started // WINDOW)
            key, earlier = _key(outgoing, window), _key(outgoing, window - 1)
            before = self._recent(outgoing) or await self._look_up(outgoing, earlier)
            if before and not _is_older(before, started - WINDOW):
                return self._remember(outgoing, Sent(before, replayed=True))
        await self._api.count_recipients(len(outgoing.recipients))
        message, lost = await self._post_until_known(outgoing, key)
        if message is None:
            try:
                message = await self._look_up(outgoing, key)
            except InkboxError as error:
                raise _unknown(lost or error, key) from None
        if message is None:
            if isinstance(lost, Unavailable):  # nothing was sent under the key
                raise lost
            raise _unknown(lost, key)
        replayed = message.id in self._ids or _is_older(message, started - _SKEW)
        return self._remember(outgoing, Sent(message, replayed=replayed, recovered=bool(lost) and not replayed))

    async def _post_until_known(
        self, outgoing: Outgoing, key: str
    ) -> tuple[SentMessage | None, OutcomeUnknown | Unavailable | None]:
        """Post a message under a key until it is accepted, and return it; None if the look-up must show it.

        Returns:
            The message, and the last error after which it may have been accepted.

        Raises:
            InkboxError: it was not accepted.
        """
        lost: OutcomeUnknown | None = None
        for number in range(ATTEMPTS):
            await _pause(0.25 * 2**number if number else 0)
            try:
                return await self._post(outgoing, key), lost
            except OutcomeUnknown as error:
                lost = error
            except Unavailable as error:
                return None, lost or error
            except InkboxError as error:
                if lost is None:
                    raise
                return None, OutcomeUnknown(f"{lost} Another attempt failed: {error}", status=error.status)
        return None, lost

    async def _post(self, outgoing: Outgoing, key: str) -> SentMessage:
        """Post a message under a key, and wait while the API is working on the same one."""
        call = current()
        for _ in range(MOST_TRIES):
            try:
                return await self._api.post_message(outgoing.place, outgoing.body, SentMessage, key)
            except Conflict as error:
                if error.reason == "idempotency_key_reused":
                    raise KeyReused from None
                pause = PAUSE_IN_PROGRESS if error.retry_after is None else error.retry_after
                if error.reason == "idempotency_in_progress" and pause < call.remaining / 2:
                    await _pause(pause)
                elif error.reason in {"idempotency_in_progress", "result_unavailable"}:
                    raise OutcomeUnknown(str(error), status=error.status) from None
                else:
                    raise
        raise OutcomeUnknown("Inkbox is still working on the same message.")

    async def _look_up(self, outgoing: Outgoing, key: str) -> SentMessage | None:
        """Return the message that was sent under a key; None if there is none."""
        where = SEND_LOOKUP.where(sender_kind="mailbox", sender_id=outgoing.mailbox_id, operation=outgoing.operation)
        try:
            found = await self._api.get(where, _Found, key=key)
        except NotFound:
            return None
        try:
            return await self._api.get(path(outgoing.sent, found.message_id), SentMessage)
        except NotFound:  # it was deleted since
            return SentMessage(id=found.message_id)

    async def without_key(self, outgoing: Outgoing) -> Sent:
        """Send a message where the API has no idempotency keys.

        Raises:
            KeyReused: the caller's key stands for another message of this process.
            OutcomeUnknown: the message may or may not have left.
            InkboxError: it has not.
        """
        if before := await self._before(outgoing):
            return self._remember(outgoing, Sent(before, replayed=True))
        await self._api.count_recipients(len(outgoing.recipients))
        started = _now()
        try:
            message = await self._api.post_message(outgoing.place, outgoing.body, SentMessage)
        except (OutcomeUnknown, Unavailable) as error:
            if found := await self._find_lost(outgoing, started - _SKEW):
                return self._remember(outgoing, Sent(found, recovered=True))
            raise _unknown(error) from None
        return self._remember(outgoing, Sent(message))

    async def _before(self, outgoing: Outgoing) -> SentMessage | None:
        """Return the message of which this one is a repetition, if any."""
        if outgoing.key is None:
            return self._recent(outgoing) or await self._find(outgoing, _now() - WINDOW)
        content, message = self._by_key.get((outgoing.mailbox_id, outgoing.key), ("", None))
        if message and content != outgoing.content:
            raise KeyReused
        return message

    async def _find_lost(self, outgoing: Outgoing, since: float) -> SentMessage | None:
        """Look for a message whose answer was lost, and again after each pause."""
        try:
            found = await self._find(outgoing, since)
            for pause in PAUSES:
                if found or current().remaining < 2 * pause:
                    break
                await _pause(pause)
                found = await self._find(outgoing, since)
        except InkboxError:
            return None
        return found

    async def _find(self, outgoing: Outgoing, since: float) -> SentMessage | None:
        """Return the newest sent message like this one that this process did not send."""
        cursor = None
        for _ in range(MOST_PAGES):
            page = await self._api.get(outgoing.sent.where(direction="outbound", limit=PAGE, cursor=cursor), _Page)
            for message in page.items:
                if _is_older(message, since):
                    return None
                if message.id in self._ids or not outgoing.is_like(message.model_dump()):
                    continue
                with suppress(NotFound):  # it was deleted since
                    whole = await self._api.get(path(outgoing.sent, message.id), SentMessage)
                    if outgoing.is_like(whole.model_dump()):
                        return message
            cursor = page.next_cursor
            if not cursor:
                return None
        return None

    def _recent(self, outgoing: Outgoing) -> SentMessage | None:
        """Return the same message, if this process has sent it within the `WINDOW`."""
        at, message = self._by_content.get(outgoing.content, (0.0, None))
        return message if anyio.current_time() - at < WINDOW else None

    def _remember(self, outgoing: Outgoing, sent: Sent) -> Sent:
        if not sent.replayed or outgoing.content not in self._by_content:
            _keep(self._by_content, outgoing.content, (anyio.current_time(), sent.message))
        if outgoing.key:
            _keep(self._by_key, (outgoing.mailbox_id, outgoing.key), (outgoing.content, sent.message))
        _keep(self._ids, sent.message.id, None)
        return sent


def _now() -> float:
    """Return the time by the API's clock if an answer of this call was dated, in seconds since 1970."""
    clock = current().clock
    return time() if clock is None else anyio.current_time() + clock


def _is_older(message: SentMessage, than: float) -> bool:
    """Whether a message was made before a time in seconds since 1970; one without a time was not."""
    made = moment(getattr(message, "created_at", None))
    return made is not None and made / 1_000_000 < than


def _key(outgoing: Outgoing, window: int) -> str:
    return f"inkbox-mcp-{_hash(outgoing.mailbox_id, outgoing.content, window)[:40]}"


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _addresses(value: object) -> list[str]:
    """Return addresses in a form that can be compared."""
    return (
        sorted({str(each).casefold() for each in cast("list[object]", value)})
        if isinstance(value, list | tuple)
        else []
    )


def _plain(subject: object) -> str:
    return " ".join(str(subject or "").split())


def _keep(kept: OrderedDict[K, V], name: K, value: V) -> None:
    """Remember a value, in place of the oldest one."""
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


async def _pause(seconds: float) -> None:
    if not stamina.is_testing():
        await anyio.sleep(seconds)


def _unknown(lost: InkboxError | None, key: str | None = None) -> OutcomeUnknown:
    """Say that a message may have left, and what can be done about it."""
    error = OutcomeUnknown(str(lost), status=lost and lost.status, retry_after=lost and lost.retry_after)
    if key:
        return error.advised(
            f'The message may or may not have left. Call again with the same arguments and idempotency_key "{key}": '
            "then it leaves at most once."
        )
    return error.advised(
        'The message may or may not have left. Next: call list_messages with direction "outbound" and look for it. '
        "Only if it is not there after a minute, call again."
    )
