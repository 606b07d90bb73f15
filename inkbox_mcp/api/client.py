"""The Inkbox REST API as one key sees it: its resources, its verbs, and what is repeated when an answer is lost."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anyio
from pydantic import BaseModel, SecretStr

from inkbox_mcp.api.connection import Connection, in_time, turn
from inkbox_mcp.api.creation import Creations
from inkbox_mcp.api.generations import Generation, generation_of
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, WEBHOOKS, Path
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.api.responses import interpret, parse, read_list
from inkbox_mcp.api.retries import is_lost, repeated
from inkbox_mcp.calls import current
from inkbox_mcp.errors import (
    APIError,
    InkboxError,
    NotConfigured,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooLarge,
    UnexpectedResponse,
)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

FRESH = 60.0
"""Seconds for which a refusal may rest on the generation that was seen last."""


class InkboxAPI:
    """The API as one organisation's key sees it; every method raises `InkboxError`, and belongs to the current call.

    Args:
        connection: the way to the API, which other keys may share.
        api_key: the organisation's key; without one every call raises `NotConfigured`.
        share: requests under way at once, of those that the connection allows; None for all.
    """

    def __init__(self, connection: Connection, api_key: SecretStr | None, share: int | None = None) -> None:
        self._connection = connection
        self._api_key = api_key
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._creations = Creations()
        self._generation: Generation | None = None
        self._learned = -math.inf
        self._turns = anyio.CapacityLimiter(share) if share else None
        self.redaction = Redaction(api_key.get_secret_value() if api_key else None)

    @asynccontextmanager
    async def alone(self, *names: str) -> AsyncGenerator[None]:
        """Keep other calls that change the same things waiting: what a lost answer did is looked up undisturbed."""
        if not names:
            yield
            return
        async with AsyncExitStack() as stack:
            with in_time(current(), "another call was changing the same mailbox"):
                for name in sorted(set(names)):  # an address is often named like its handle
                    await stack.enter_async_context(self._locks.setdefault(name, anyio.Lock()))
            yield

    async def get(self, path: Path, model: type[M]) -> M:
        """GET one object."""
        return await self._send("GET", path, lambda data: parse(data, model))

    async def get_list(self, path: Path) -> list[dict[str, Any]]:
        """GET a bare array of objects, unvalidated: the caller validates those that it returns."""
        return await self._send("GET", path, read_list)

    async def post(self, path: Path, body: Mapping[str, Any], model: type[M]) -> M:
        """POST a body; a lost answer is not followed up, see `create`."""
        return await self._send("POST", path, lambda data: parse(data, model), body)

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
        """DELETE one object; a 404 after an attempt whose answer was lost means that it worked.

        Args:
            path: of the object.
            owner: of what outlives the object; where that is missing too, there was nothing to delete.
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
        """POST a body and return the object the API made of it, made once even when answers are lost.

        Args:
            path: the resource.
            body: the object to make.
            model: what the API answers.
            find: looks for an object as a lost request would have made it, see `inkbox_mcp.api.creation`.
            unique: whether the API refuses to make a second one, so that a request may be repeated.
        """
        send = partial(self._send, "POST", path, lambda data: parse(data, model), body, unique=unique)
        return await self._creations.create(current(), send, find, unique=unique)

    async def generation(self, *, again: bool = False) -> Generation:
        """Return the generation of the API that this key's organisation is on.

        Every answer that shows it is remembered, but organisations move, and then what is remembered is wrong until the
        next answer.

        Args:
            again: ask even if it is known, because a question, a limit or a refusal depends on it.
        """
        if self._generation and not again:
            return self._generation
        found = await self._send("GET", IDENTITIES, generation_of) or await self._probe()
        self.known_generation = found
        return found

    async def is_on(self, generation: Generation) -> bool:
        """Whether the organisation is on this generation; asked afresh before the answer is no.

        Only that it has moved to the identity generation is believed for a while, because none was seen to move back.
        """
        if self._generation == generation:
            return True
        is_recent = anyio.current_time() - self._learned < FRESH
        return not (self._generation == "identity" and is_recent) and await self.generation(again=True) == generation

    @property
    def known_generation(self) -> Generation | None:
        """The generation that the latest answer showed; None while none did, or after one that contradicts it."""
        return self._generation

    @known_generation.setter
    def known_generation(self, generation: Generation | None) -> None:
        self._generation, self._learned = generation, anyio.current_time()

    def check(self, method: str, path: Path, data: object) -> None:
        """Refuse an answer that this API must not pass on; here, none is refused.

        Args:
            method: of the request.
            path: of the request.
            data: the answer.

        Raises:
            NotAllowed: it is about something that this API may not touch.
        """

    async def _probe(self) -> Generation:
        """Ask for what only one generation has; any answer but "no such thing" means that it is there."""
        try:
            await self._send("GET", WEBHOOKS, _ignore)
        except APIError as error:
            if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
                return "spec"
            if error.status not in {HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY}:
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
    ) -> T:
        """Send a request, again where that is harmless, and read its answer."""
        if self._api_key is None:
            raise NotConfigured
        key, call = self._api_key, current()

        async def attempt(number: int) -> T:
            try:
                async with turn(call, self._turns), turn(call, self._connection.turns):
                    received = await self._connection.exchange(call, key, method, path, body, number)
                data = interpret(received)
                if path.startswith((MAILBOXES, IDENTITIES)) and (shown := generation_of(data)):
                    self.known_generation = shown
                self.check(method, path, data)
                return read(data)
            except NotFound:
                if method == "GET":
                    call.missing.add(path)
                raise
            except (UnexpectedResponse, ServerError) as error:
                if not is_lost(method, error):
                    raise
                raise OutcomeUnknown(str(error), status=error.status) from error

        return await repeated(call, method, attempt, unique=unique)


def _ignore(_: object) -> None:
    """Read nothing: that there is an answer is enough."""
