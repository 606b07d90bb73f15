"""Who is calling, and the Inkbox API as their key sees it.

A server has one key of its own, or takes each caller's from the request and has none. Every key gets an API object of
its own, so that nothing remembered of one organisation can reach another; what they share is the pooled connection,
which remembers nothing.
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

import anyio
from pydantic import SecretStr

from inkbox_mcp.access.pins import PinnedAPI
from inkbox_mcp.access.rate_limits import RateLimit
from inkbox_mcp.api.connection import Connection, TransportFactory
from inkbox_mcp.api.embedded import SandboxTransport
from inkbox_mcp.errors import NotConfigured, OverLimit
from inkbox_mcp.settings.credentials import not_a_key, without_wrapping
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.telemetry.metrics import Metrics

KEY_HEADER = "X-Inkbox-API-Key"
MAX_TENANTS = 4096
"""Keys whose API objects are kept; the one that was used longest ago goes first, and loses nothing but what it knew."""

# The sandbox keeps each key's organisation apart; the embedded one has a single user, who needs no key.
SANDBOX_KEY = SecretStr("ApiKey_00000000-0000-4000-8000-000000000000.sandbox")


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        keys: the Inkbox keys that the request brought, as they stood in its headers.
        name: for limits and logs.
        request_id: what the caller calls the request.
        may_write: whether the caller may change something.
        principal: all that says who the caller is, key and account; None where nothing does.
        left: waits until nobody waits for the answer any more; for ever where that ends the call.
    """

    keys: tuple[str, ...] = ()
    name: str = "-"
    request_id: str | None = None
    may_write: bool = True
    principal: str | None = None
    left: Callable[[], Awaitable[None]] = field(default=anyio.sleep_forever, compare=False)


LOCAL = Caller()
"""The only client there is, over stdio."""


class Tenants:
    """The API for each caller of a server.

    Args:
        settings: see `inkbox_mcp.settings.options`.
        transport: another way to reach the API than the settings name.
        metrics: where requests and refusals are counted.

    Raises:
        SettingsError: the store of the rate limit cannot be used.
    """

    def __init__(
        self, settings: Settings, transport: TransportFactory | None = None, metrics: Metrics | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics or Metrics()
        if settings.sandbox:
            transport = transport or partial(SandboxTransport, settings.sandbox_db, settings.sandbox_generation)
        self._connection = Connection(
            "http://sandbox" if settings.sandbox else settings.base_url,
            concurrency=settings.max_concurrency,
            idle=16 if settings.http else 4,
            transport=transport,
            metrics=self._metrics,
        )
        own = SANDBOX_KEY if settings.sandbox else settings.api_key
        self._own = self._api(own)
        self._own_problem = None if own is None else not_a_key(own.get_secret_value())
        self._by_key: OrderedDict[str, PinnedAPI] = OrderedDict()
        self._in_use: WeakValueDictionary[str, PinnedAPI] = WeakValueDictionary()
        self._limit = _rate_limit(settings, self._metrics)
        self._metrics.limited_to(settings.max_concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.aclose()
        if self._limit:
            await self._limit.aclose()

    async def admit(self, caller: Caller) -> PinnedAPI:
        """Let a call in and return the API for it.

        Raises:
            NotConfigured: the request brought no key and should have, or brought one that nobody wants.
            OverLimit: its caller makes more calls than the operator allows.
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
        # A call that is under way keeps its own, and the next one must wait for it: keys that somebody makes up do not
        # part them.
        api = self._by_key.pop(key, None) or self._in_use.get(key)
        if not api:
            # One whose calls are slow, or many, leaves turns to the others.
            api = self._api(SecretStr(key), math.ceil(self._settings.max_concurrency / 4))
        self._in_use[key] = api
        self._by_key[key] = api
        if len(self._by_key) > MAX_TENANTS:
            self._by_key.popitem(last=False)
        return api

    def _api(self, key: SecretStr | None, share: int | None = None) -> PinnedAPI:
        settings = self._settings
        return PinnedAPI(
            self._connection,
            key,
            share,
            handles=settings.allow_handles,
            addresses=settings.allow_addresses,
            webhook_hosts=settings.allow_webhook_hosts,
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


def _rate_limit(settings: Settings, metrics: Metrics) -> RateLimit | None:
    if settings.rate_limit is None:
        return None
    store = settings.rate_limit_store
    try:
        return RateLimit(settings.rate_limit, store.get_secret_value() if store else None, metrics=metrics)
    except ValueError as error:
        raise SettingsError(f"--rate-limit-store: {error}") from None
