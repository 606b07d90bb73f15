"""The callers of a server, and the Inkbox API for each of them.

A server has one key of its own, or reads the key from each request and has none. Each key has its own API object, so
that nothing cached for one organization can reach another. They share only the connection, which stores nothing.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from pydantic import SecretStr

from inkbox_mcp.access.generations import recall, remember
from inkbox_mcp.access.pins import PinnedAPI
from inkbox_mcp.access.rate_limits import RateLimit
from inkbox_mcp.access.recipients import RecipientCount
from inkbox_mcp.access.scopes import EVERYTHING
from inkbox_mcp.api.call_log import MadeCall
from inkbox_mcp.api.connection import Connection, TransportFactory
from inkbox_mcp.api.embedded import SandboxTransport
from inkbox_mcp.api.generations import Generation, KnownGeneration
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.errors import NotConfigured, OverLimit
from inkbox_mcp.settings.credentials import SANDBOX_KEY, not_a_key, without_wrapping
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.telemetry.metrics import Metrics

KEY_HEADER = "X-Inkbox-API-Key"
MAX_TENANTS = 4096
"""The most API objects that are cached. The least recently used one is dropped first, which costs only its caches."""


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        keys: the Inkbox keys in the request's headers, as written.
        name: for limits and logs.
        request_id: the caller's own id of the request.
        scopes: what the caller may do, of `inkbox_mcp.access.scopes`, with all that they include.
        principal: identifies the caller by key and account; None if the request has neither.
        left: returns when nobody waits for the answer any more; None if the call is cancelled then.
    """

    keys: tuple[str, ...] = ()
    name: str = "-"
    request_id: str | None = None
    scopes: frozenset[str] = EVERYTHING
    principal: str | None = None
    left: Callable[[], Awaitable[None]] | None = field(default=None, compare=False)


LOCAL = Caller()
"""The only caller over stdio."""


class Tenants:
    """The API for each caller of a server.

    Attributes:
        keeps_calls: whether the API is an embedded sandbox on a file, which keeps calls for people who look at it.

    Args:
        settings: see `inkbox_mcp.settings.options`.
        transport: makes another transport to the API than the settings name.
        metrics: counts requests and refusals.

    Raises:
        SettingsError: the store of the limits cannot be used.
    """

    def __init__(
        self, settings: Settings, transport: TransportFactory | None = None, metrics: Metrics | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics or Metrics()
        self.keeps_calls = settings.sandbox and transport is None and settings.sandbox_db != ":memory:"
        if settings.sandbox:
            transport = transport or partial(SandboxTransport, settings.sandbox_db, settings.sandbox_generation)
        self._connection = Connection(
            "http://sandbox" if settings.sandbox else settings.base_url,
            concurrency=settings.max_concurrency,
            transport=transport,
            metrics=self._metrics,
        )
        self._limit, self._recipients = _limits(settings, self._metrics)
        own = SecretStr(SANDBOX_KEY) if settings.sandbox else settings.api_key
        self._own = self._api(own, None, self._known_of(own))
        self._own_problem = None if own is None else not_a_key(own.get_secret_value())
        self._by_key: OrderedDict[str, PinnedAPI] = OrderedDict()
        self._in_use: WeakValueDictionary[str, PinnedAPI] = WeakValueDictionary()
        self._known: WeakValueDictionary[str, KnownGeneration] = WeakValueDictionary()
        self._metrics.limited_to(settings.max_concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.aclose()
        await self._recipients.aclose()
        if self._limit:
            await self._limit.aclose()

    def redaction_of(self, caller: Caller) -> Redaction:
        """Return what hides the keys that are known to a call: this server's, and the request's, accepted or not."""
        own = self._settings.api_key
        known = (SANDBOX_KEY if self._settings.sandbox else None, own.get_secret_value() if own else None)
        return Redaction(*known, *map(without_wrapping, caller.keys))

    def keep(self, call: MadeCall) -> None:
        """Let the embedded sandbox keep a call that has ended."""
        self._connection.keep(call)

    async def admit(self, caller: Caller) -> PinnedAPI:
        """Return the API for a call, if its caller may make one now.

        Raises:
            NotConfigured: the request needs a key and has none, or has one that is not allowed.
            OverLimit: the caller exceeds the operator's rate limit.
        """
        api = self.api(caller)
        if self._limit and (wait := await self._limit.take(caller.name)):
            self._metrics.rate_limited()
            raise OverLimit(str(self._settings.rate_limit), wait)
        return api

    def api(self, caller: Caller = LOCAL) -> PinnedAPI:
        """Return the API for a caller; see `admit`."""
        key = _single_key(caller.keys)
        if not self._settings.per_request_keys:
            if key is not None:
                raise NotConfigured("the request has an Inkbox API key, but this server uses its own.").advised(
                    f"Tell the user: remove the header {KEY_HEADER}, or start the server with --per-request-keys."
                )
            if self._own_problem:
                raise NotConfigured(f"what this server has as its Inkbox API key is no key: {self._own_problem}.")
            return self._own
        if key is None:
            raise NotConfigured("the request has no Inkbox API key.").advised(
                f"Tell the user: put the key into the header {KEY_HEADER} of this MCP server's entry in the client."
            )
        # The object of a running call is found again even after the cache dropped it: both calls must share its locks.
        api = self._by_key.pop(key, None) or self._in_use.get(key)
        if not api:
            # A quarter, so that a tenant with many or slow calls leaves turns to others.
            share = math.ceil(self._settings.max_concurrency / 4)
            # What a client still listens to is found again, too.
            known = self._known.get(key) or KnownGeneration(self._settings.generation)
            api = self._api(SecretStr(key), share, known)
        self._in_use[key], self._known[key] = api, api.known
        self._by_key[key] = api
        if len(self._by_key) > MAX_TENANTS:
            self._by_key.popitem(last=False)
        return api

    def remembered(self) -> Generation | None:
        """Return the generation of this server's own key that a start begins with; None if it has to look."""
        settings = self._settings
        if settings.generation or settings.sandbox or settings.api_key is None:
            return settings.generation
        return recall(settings.base_url, settings.api_key)

    def _known_of(self, own: SecretStr | None) -> KnownGeneration:
        settings = self._settings
        learned = None if settings.sandbox or own is None else partial(remember, settings.base_url, own)
        return KnownGeneration(self.remembered(), learned)

    def _api(self, key: SecretStr | None, share: int | None, known: KnownGeneration) -> PinnedAPI:
        settings = self._settings
        return PinnedAPI(
            self._connection,
            key,
            share,
            known,
            handles=settings.allow_handles,
            addresses=settings.allow_addresses,
            webhook_hosts=settings.allow_webhook_hosts,
            recipients=settings.allow_recipients,
            count=self._recipients,  # of all keys, so that a key's count outlives its API object
        )


def _single_key(keys: tuple[str, ...]) -> str | None:
    if len(keys) > 1 or not all(re.fullmatch(r"[\x21-\x7e]{1,512}", key) for key in keys):
        raise NotConfigured(f"the request's {KEY_HEADER} is not one valid Inkbox API key.").advised(
            f"Tell the user: set the header {KEY_HEADER} once, to the key alone."
        )
    if not keys:
        return None
    key = without_wrapping(keys[0])
    if problem := not_a_key(key):
        raise NotConfigured(f"what the request has in {KEY_HEADER} is no Inkbox API key: {problem}.").advised(
            f"Tell the user: set the header {KEY_HEADER} to the key alone."
        )
    return key


def _limits(settings: Settings, metrics: Metrics) -> tuple[RateLimit | None, RecipientCount]:
    """Make the limits of calls and of recipients, which count in the same store."""
    rate, store = settings.rate_limit, settings.rate_limit_store
    url = store.get_secret_value() if store else None
    try:
        calls = RateLimit(rate, url, metrics=metrics) if rate else None
        return calls, RecipientCount(settings.max_recipients_per_hour, url, metrics=metrics)
    except ValueError as error:
        raise SettingsError(f"--rate-limit-store: {error}") from None
