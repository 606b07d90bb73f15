"""The Inkbox REST API as one key sees it: its verbs, what follows a lost answer, and the API's generation."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import anyio
from pydantic import BaseModel, SecretStr

from inkbox_mcp.api.connection import Connection, in_time, turn
from inkbox_mcp.api.creation import Creations
from inkbox_mcp.api.downloads import Fetched
from inkbox_mcp.api.generations import Generation, KnownGeneration, generation_of
from inkbox_mcp.api.outgoing import Outgoing, Sent
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, WEBHOOKS, Path
from inkbox_mcp.api.polling import Poll, Polls
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.api.responses import FromJSON, from_json, interpret, parse, read_list
from inkbox_mcp.api.retries import is_lost, repeated
from inkbox_mcp.api.sending import Sending
from inkbox_mcp.calls import current
from inkbox_mcp.errors import (
    APIError,
    Forbidden,
    InkboxError,
    NotConfigured,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooLarge,
    Unavailable,
    UnexpectedResponse,
)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


FILES_AT_ONCE = 2
"""Files that one key may fetch at once; each is in memory as a whole."""


class InkboxAPI:
    """The API as one organization's key sees it. Methods act within the current call and raise `InkboxError`.

    Args:
        connection: to the API; keys may share it.
        api_key: the organization's key; without one every method raises `NotConfigured`.
        share: how many of the connection's concurrent requests this key may use; None for all.
        known: the generation of the organization's API, as far as it is known.

    Attributes:
        known: as passed; each answer that shows the generation updates it.
        has_key: whether requests can be sent.
    """

    def __init__(
        self,
        connection: Connection,
        api_key: SecretStr | None,
        share: int | None = None,
        known: KnownGeneration | None = None,
    ) -> None:
        self.known = known or KnownGeneration()
        self.has_key = api_key is not None
        self._connection = connection
        self._api_key = api_key
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._polls = Polls()
        self._creations = Creations()
        self._sending = Sending(self)
        self._turns = anyio.CapacityLimiter(share) if share else None
        self._files = anyio.CapacityLimiter(FILES_AT_ONCE)
        self.redaction = Redaction(api_key.get_secret_value() if api_key else None)

    def alone(self, *names: str) -> AbstractAsyncContextManager[None]:
        """Make other calls that change the same things wait, so that they cannot hide what a lost request did."""
        return self._alone(names) if names else nullcontext()

    @asynccontextmanager
    async def _alone(self, names: Sequence[str]) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            with in_time(current(), "another call was changing the same mailbox"):
                for name in sorted(set(names)):  # a handle and its address often have the same name
                    await stack.enter_async_context(self._locks.setdefault(name, anyio.Lock()))
            yield

    def poll(self, name: str) -> Poll[Any]:
        """Return the requests for one thing, which all calls share that wait for it.

        Args:
            name: of the thing; who waits for the same uses the same name.
        """
        return self._polls.of(name)

    async def get(self, path: Path, model: type[M], *, once: bool = False, key: str | None = None) -> M:
        """GET one object.

        Args:
            path: of the object.
            model: what the API answers.
            once: leave it to the caller to ask again after a failure.
            key: the `Idempotency-Key` that is looked up.
        """
        return await self._send("GET", path, lambda data: parse(data, model), once=once, headers=_keyed(key))

    async def get_list(self, path: Path, read: FromJSON = from_json) -> list[dict[str, Any]]:
        """GET a bare array of objects. They are not validated: the caller validates those that it returns.

        Args:
            path: of the list.
            read: reads the body; see `only`.
        """
        return await self._send("GET", path, read_list, from_json=read)

    async def post(self, path: Path, body: Mapping[str, Any], model: type[M]) -> M:
        """POST a body. Does not look for what a lost request made; `create` does."""
        return await self._send("POST", path, lambda data: parse(data, model), body)

    async def send(self, outgoing: Outgoing) -> Sent:
        """Send a message at most once; see `inkbox_mcp.api.sending`.

        Raises:
            NotAllowed: a recipient is one that the operator does not allow.
            OutcomeUnknown: the message may or may not have left.
            InkboxError: it has not.
        """
        self.permit_recipients(outgoing.recipients)
        own = [outgoing.own_name] if outgoing.own_name else []
        async with self.alone(outgoing.likeness, *own):
            # What is a repetition depends on the API's clock, which an answer shows.
            again = not self.known.is_confirmed or current().clock is None
            if await self.generation(again=again) == "identity":
                return await self._sending.with_key(outgoing)
            return await self._sending.without_key(outgoing)

    async def post_message(
        self, path: Path, body: Mapping[str, Any], model: type[M], key: str | None = None, number: int = 1
    ) -> M:
        """POST a message to be sent. Only `send` sends it at most once.

        Args:
            path: of the messages, or of the message to forward.
            body: the message.
            model: what the API answers.
            key: its `Idempotency-Key`; the caller repeats the request. Without one it is repeated here, if nothing can
                have been sent; a refusal may be one after the message left.
            number: which request under the key this is, from 1.
        """
        headers = {**_keyed(key), "Prefer": "idempotency-replay"} if key else None
        return await self._send(
            "POST",
            path,
            lambda data: parse(data, model),
            body,
            unique=False,
            once=key is not None,
            number=number,
            headers=headers,
        )

    async def patch(self, path: Path, body: Mapping[str, Any], model: type[M]) -> M:
        """PATCH the supplied fields and return the changed object."""
        try:
            return await self._send("PATCH", path, lambda data: parse(data, model), body)
        except TooLarge as error:
            if not error.of_success:
                raise
            done = error.advised("The change was made. Do not repeat it; tell the user that its answer was too large.")
        try:
            return await self.get(path, model)
        except InkboxError:
            raise done from None

    async def delete(self, path: Path, *, owner: Path | None = None) -> None:
        """DELETE one object. A 404 counts as success after an attempt whose answer was lost.

        Args:
            path: of the object.
            owner: path of an object that survives the deletion; if it is missing too, there was nothing to delete.
        """
        try:
            await self._send("DELETE", path, _ignore)
        except TooLarge as error:
            if not error.of_success:
                raise
        except NotFound as error:
            if not error.after_lost or path in current().missing:
                raise
            if owner:
                await self._send("GET", owner, _ignore)

    async def create(
        self,
        path: Path,
        body: Mapping[str, Any],
        model: type[M],
        find: Callable[[], Awaitable[M | None]],
        *,
        unique: bool = True,
    ) -> M:
        """POST a body and return the object that the API made; it is made once, even when answers are lost.

        Args:
            path: the resource.
            body: the object to make.
            model: what the API answers.
            find: returns the object that a lost request made, if any; see `inkbox_mcp.api.creation`.
            unique: whether the API refuses a second such object, so that the request may be repeated.
        """
        send = partial(self._send, "POST", path, lambda data: parse(data, model), body, unique=unique)
        return await self._creations.create(current(), send, find, unique=unique)

    async def fetch(self, url: str) -> Fetched:
        """Fetch a file from a URL in an answer of the API: without the key, and not from private networks.

        Args:
            url: the signed URL, which is a secret: no error, log, span or metric shows it.

        Raises:
            NotFetched: the URL is refused, or the file is not there.
            TooLarge: the file is larger than `MAX_FILE_BYTES`.
            Unreachable: the file did not come in time.
        """
        call, downloads = current(), self._connection.downloads

        async def attempt(number: int) -> Fetched:
            async with turn(call, self._files), turn(call, downloads.turns):
                return await downloads.fetch(call, url, number)

        return await repeated(call, "GET", attempt)

    async def generation(self, *, again: bool = False) -> Generation:
        """Return the generation of the API that this key's organization is on.

        When an organization moves, the known generation is wrong until an answer shows the new one.

        Args:
            again: ask the API even if the generation is known, because a question, a limit or a refusal depends on it.
        """
        if again or self.known.value is None:
            self.known.learn(await self._look())
        return cast("Generation", self.known.value)

    @property
    def limits(self) -> list[str]:
        """The operator's limits on which objects the API's lists show, for readers. This class has none."""
        return []

    def permit(self, path: Path) -> None:
        """Refuse a request that must not be sent. This class refuses none.

        Args:
            path: of the request.

        Raises:
            NotAllowed: the request may be about an object that the operator does not allow.
        """

    def permit_recipients(self, addresses: Sequence[str]) -> None:
        """Refuse recipients of a message that must not be sent. This class refuses none.

        Args:
            addresses: all that the message goes to: To, Cc and Bcc, also those that a reply gets from a message.

        Raises:
            NotAllowed: the operator does not allow one of them.
        """

    async def count_recipients(self, number: int) -> None:
        """Count the recipients of a message before it is sent, once for all attempts. This class refuses none.

        Args:
            number: of recipients, in To, Cc and Bcc together.

        Raises:
            TooManyRecipients: the operator's limit does not allow so many now; none was counted.
        """

    def check(self, method: str, path: Path, data: object) -> None:
        """Refuse an answer that must not be passed on. This class refuses none.

        Args:
            method: of the request.
            path: of the request.
            data: the answer.

        Raises:
            NotAllowed: the answer is about an object that the operator does not allow.
        """

    async def _look(self) -> Generation:
        """Ask for a resource that only the identity generation has; if that is forbidden, for the identities."""
        try:
            await self._send("GET", WEBHOOKS, _ignore)
        except Forbidden:
            return await self._send("GET", IDENTITIES, generation_of) or "identity"
        except APIError as error:
            # Without a reason, another server may have answered.
            if error.detail and error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                return "spec"
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
        return "identity"

    async def _send(
        self,
        method: str,
        path: Path,
        read: Callable[[object], T],
        body: Mapping[str, Any] | None = None,
        *,
        unique: bool = True,
        once: bool = False,
        number: int = 1,
        headers: Mapping[str, str] | None = None,
        from_json: FromJSON = from_json,
    ) -> T:
        """Send a request, repeat it where that is safe unless it is to be sent once, and read the answer."""
        self.permit(path)
        if self._api_key is None:
            raise NotConfigured
        key, call = self._api_key, current()

        async def attempt(number: int) -> T:
            try:
                async with turn(call, self._turns), turn(call, self._connection.turns):
                    received = await self._connection.exchange(call, key, method, path, body, number, headers)
                data = interpret(received, from_json)
                if _may_show_generation(path) and (shown := generation_of(data)):
                    self.known.learn(shown)
                self.check(method, path, data)
                return read(data)
            except NotFound:
                if method == "GET":
                    call.missing.add(path)
                raise
            except (UnexpectedResponse, ServerError, Unavailable) as error:
                if not is_lost(method, error):
                    raise
                raise OutcomeUnknown(str(error), status=error.status, retry_after=error.retry_after) from error

        return await (attempt(number) if once else repeated(call, method, attempt, unique=unique))


def _may_show_generation(path: Path) -> bool:
    """Whether an answer is about a mailbox or an identity; messages and threads have fields of the same names."""
    is_mail = path.template.startswith(f"{MAILBOXES}/{{}}/")
    return path.startswith((MAILBOXES, IDENTITIES)) and not is_mail


def _keyed(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _ignore(_: object) -> None:
    """Ignore the content of an answer."""
