"""Send a message at most once, even when the answer is lost, the process is killed, or the call is repeated.

The identity generation has idempotency keys: under one key at most one message leaves. The key is the caller's own, or
it is made of the message and the `WINDOW` of the API's clock, so that a repetition has the same key, and the same
message of tomorrow has another one. A window may end between a call and its repetition; so the key of the window before
is looked up first. The look-up does not show a request that still runs. So no request with a window's key begins after
the window, and the look-up waits until the next one is a few seconds old.

The spec generation has no keys, and a lost request must not be repeated. So one with the same recipients and subject is
looked for among the mailbox's sent messages: before a message is sent for the first time, and after its answer was
lost. Texts are not compared, because the API adds a footer to some.

This process also remembers what it tried to send, from before the request: a call may be cancelled, and its request
still be carried out. Calls that send what looks the same take turns.
"""

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import anyio
import stamina
from pydantic import BaseModel

from inkbox_mcp.api.attempts import DISAGREEMENT, SKEW, WINDOW, Attempt, Attempts, api_time
from inkbox_mcp.api.outgoing import Outgoing, Sent, SentMessage, hashed
from inkbox_mcp.api.paths import SEND_LOOKUP, path
from inkbox_mcp.api.retries import REUSED, Failures, reason_of
from inkbox_mcp.calls import current
from inkbox_mcp.errors import InkboxError, KeyReused, NotFound, OutcomeUnknown, Unavailable, Unreachable

if TYPE_CHECKING:
    from inkbox_mcp.api.client import InkboxAPI

SETTLING = 6.0
"""Seconds after a window in which a request with its key may still run."""
PAUSES = (0.25, 0.75)
"""Seconds before each further look for a message whose answer was lost, because the request may still be running."""
MOST_TRIES = 100
"""Requests under the same key while the API is working on it."""
PAGE, MOST_PAGES = 100, 10
"""Sent messages that a page of the API's list has, and the most pages that are searched."""


class SentPage(BaseModel):
    """A page of the API's list of sent messages."""

    items: list[SentMessage]
    next_cursor: str | None = None


class SendLookup(BaseModel):
    """What a look-up of a key answers."""

    message_id: str


class Sending:
    """Sends messages with one Inkbox key, and remembers them.

    Args:
        api: sends the requests.
    """

    def __init__(self, api: "InkboxAPI") -> None:
        self._api = api
        self._attempts = Attempts()

    async def with_key(self, outgoing: Outgoing) -> Sent:
        """Send a message where the API has idempotency keys.

        Raises:
            KeyReused: the caller's key stands for another message.
            OutcomeUnknown: the message may or may not have left.
            InkboxError: it has not.
        """
        content, now = outgoing.content, api_time()
        known = self._attempts.known(outgoing, content)
        if known and known.message:
            return Sent(known.message, replayed=True)
        key, end = outgoing.key, inf
        if key is None:
            end = anyio.current_time() + WINDOW - now % WINDOW
            key = (known and known.key) or _key(content, now)
            # A clock that is read from whole seconds may have shown the window before.
            others = {_key(content, now - ago) for ago in (0.0, WINDOW, WINDOW + SETTLING)} - {key}
            if before := await self._earlier(outgoing, others, now):
                return Sent(before, replayed=True)
            if anyio.current_time() >= end:
                return await self.with_key(outgoing)
        if not known:  # otherwise they were counted then
            await self._api.count_recipients(len(outgoing.recipients))
        attempt = known or self._attempts.begin(outgoing, content, key)
        try:
            message, failures = await self._post_until_known(outgoing, key, end)
            lost = message is None or failures.lost is not None
            message = message or await self._look_up_lost(outgoing, key, failures, now)
        except OutcomeUnknown:
            raise
        except InkboxError:
            if not known:
                self._attempts.forget(attempt)
            raise
        # Whoever is told that nothing was sent may send it again; so in doubt it was sent now.
        replayed = self._attempts.has_sent(message.id) or message.is_older(now - DISAGREEMENT)
        self._attempts.remember(attempt, message, replayed=replayed)
        return Sent(message, replayed=replayed, recovered=lost and not replayed)

    async def _earlier(self, outgoing: Outgoing, keys: set[str], now: float) -> SentMessage | None:
        """Return the message of the last `WINDOW` that was sent under one of the keys.

        Raises:
            Unreachable: the call ends before that can be known.
        """
        if (early := SETTLING - now % WINDOW) > 0:
            if early >= current().remaining:
                error = Unreachable("the same message may be on its way from a moment ago.", retry_after=round(early))
                raise error.advised("Nothing was sent.")
            await _pause(early)
        for key in keys:
            message = await self._look_up(outgoing, key)
            if message and not message.is_older(now - WINDOW):
                return message
        return None

    async def _post_until_known(self, outgoing: Outgoing, key: str, end: float) -> tuple[SentMessage | None, Failures]:
        """Post a message under a key until it is accepted, and return it; None if the look-up must show it.

        Args:
            outgoing: the message.
            key: the idempotency key.
            end: when no further request under the key may begin, in seconds of the event loop's clock.

        Raises:
            InkboxError: it was not accepted.
        """
        failures = Failures()
        for number in range(1, MOST_TRIES + 1):
            try:
                message = await self._api.post_message(outgoing.place, outgoing.body, SentMessage, key, number)
            except InkboxError as error:
                pause = failures.note(error)
                if outgoing.key and reason_of(error) == REUSED:
                    raise KeyReused from None
                if pause is None and not failures.in_doubt:
                    raise
            else:
                return message, failures
            # The look-up needs time too.
            if pause is None or pause >= current().remaining / 2 or anyio.current_time() + pause >= end:
                break
            await _pause(pause)
        if failures.in_doubt or failures.last is None:
            return None, failures
        raise failures.last

    async def _look_up_lost(self, outgoing: Outgoing, key: str, failures: Failures, since: float) -> SentMessage:
        """Return the message that was sent under a key, although no answer shows it."""
        try:
            found = await self._look_up(outgoing, key)
        except InkboxError as error:
            raise _unknown(failures.summary or error, key) from None
        if found is None and failures.lost is None and failures.last:  # nothing was sent under the key
            raise failures.last
        # The caller's own key may stand for another message, which the look-up does not compare.
        is_same = outgoing.key is None or failures.is_known
        if found and (is_same or (outgoing.is_like(found) and not found.is_older(since - SKEW))):
            return found
        raise _unknown(failures.summary, key)

    async def _look_up(self, outgoing: Outgoing, key: str) -> SentMessage | None:
        """Return the message that was sent under a key; None if there is none."""
        where = SEND_LOOKUP.where(sender_kind="mailbox", sender_id=outgoing.mailbox_id, operation=outgoing.operation)
        try:
            found = await self._api.get(where, SendLookup, key=key)
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
        content = outgoing.content
        known = self._attempts.known(outgoing, content)
        if before := (known and known.message) or await self._before(outgoing, known):
            return Sent(before, replayed=True)
        await self._api.count_recipients(len(outgoing.recipients))
        attempt, lost = known or self._attempts.begin(outgoing, content), False
        try:
            message = await self._api.post_message(outgoing.place, outgoing.body, SentMessage)
        except (OutcomeUnknown, Unavailable) as error:
            lost, message = True, await self._find_lost(outgoing, attempt)
            if message is None:
                raise _unknown(error) from None
        except InkboxError:
            if not known:
                self._attempts.forget(attempt)
            raise
        self._attempts.remember(attempt, message)
        return Sent(message, recovered=lost)

    async def _before(self, outgoing: Outgoing, known: Attempt | None) -> SentMessage | None:
        """Return the message of which this one is a repetition, if any.

        Args:
            outgoing: the message.
            known: an attempt of this process to send it, whose outcome is unknown.

        Raises:
            OutcomeUnknown: there are messages, and it cannot be known whether this one is among them.
        """
        if known is None:
            if outgoing.key:
                return None
            return next(iter(await self._find(outgoing, api_time() - WINDOW)), None)
        found = await self._find_patiently(outgoing, known.since if outgoing.key else api_time() - WINDOW)
        if found and self._attempts.are_of(found, known):
            self._attempts.remember(known, found[0], replayed=True)
        elif found and outgoing.key:
            raise _unknown(OutcomeUnknown("Inkbox has several messages that look like this one."))
        return next(iter(found), None)

    async def _find_lost(self, outgoing: Outgoing, attempt: Attempt) -> SentMessage | None:
        """Return the message of an attempt whose answer was lost; None if it is not known."""
        try:
            found = await self._find_patiently(outgoing, attempt.since)
        except InkboxError:
            return None
        return found[0] if found and self._attempts.are_of(found, attempt) else None

    async def _find_patiently(self, outgoing: Outgoing, since: float) -> list[SentMessage]:
        """Look for messages like this one, and again after each pause if there are none."""
        found = await self._find(outgoing, since)
        for pause in PAUSES:
            if found or current().remaining < 2 * pause:
                break
            await _pause(pause)
            found = await self._find(outgoing, since)
        return found

    async def _find(self, outgoing: Outgoing, since: float) -> list[SentMessage]:
        """Return at most two sent messages like this one, newest first, without those that this process knows."""
        cursor, found = None, list[SentMessage]()
        for _ in range(MOST_PAGES):
            page = await self._api.get(outgoing.sent.where(direction="outbound", limit=PAGE, cursor=cursor), SentPage)
            for message in page.items:
                if message.is_older(since):
                    return found
                if self._attempts.has_sent(message.id) or not outgoing.is_like(message):
                    continue
                with suppress(NotFound):  # it was deleted since
                    if outgoing.is_like(await self._api.get(path(outgoing.sent, message.id), SentMessage)):
                        found.append(message)
                if len(found) > 1:
                    return found
            cursor = page.next_cursor
            if not cursor:
                break
        return found


def _key(content: str, moment: float) -> str:
    """Return the key of a message and the window of a moment."""
    return f"inkbox-mcp-{hashed(content, int(moment // WINDOW))[:40]}"


async def _pause(seconds: float) -> None:
    if not stamina.is_testing():
        await anyio.sleep(seconds)


def _unknown(lost: InkboxError | None, key: str | None = None) -> OutcomeUnknown:
    """Say that a message may have left, and what can be done about it."""
    error = OutcomeUnknown(str(lost), status=lost and lost.status, retry_after=lost and lost.retry_after)
    if key:
        error.is_safe_to_repeat = True
        return error.advised(
            f'The message may or may not have left. Call again with the same arguments and idempotency_key "{key}": '
            "then it leaves at most once."
        )
    return error.advised(
        'The message may or may not have left. Next: call list_messages with direction "outbound" and look for it. '
        "Only if it is not there after a minute, call again."
    )
