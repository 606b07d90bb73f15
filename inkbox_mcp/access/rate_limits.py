"""Limits what each tenant does, such as its calls, by a sliding window, in memory or shared by replicas through Redis.

The window counts the calls of the current fixed window, plus those of the previous one in proportion to its overlap
with the sliding window. Fixed windows alone would allow twice the rate around their boundary. A log of all calls would
be exact, but needs one entry per call, and depends on the replicas' clocks. Here each tenant has two numbers, and the
clock is Redis's own.
"""

import logging
import math
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import anyio

from inkbox_mcp import install_line
from inkbox_mcp.settings.values import Rate
from inkbox_mcp.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

STORE_PATIENCE = 0.25
"""The most seconds that a call waits for the store."""
STORE_PAUSE = 5.0
"""Seconds without requests to a store that failed; then one call tries it again."""
MAX_TENANTS = 100_000
"""The most tenants in memory for one window, about 20 MB."""

_CONNECTIONS = 16


class RateLimit:
    """A limit of calls, or of something else that is counted, for each tenant.

    While Redis does not answer, this process counts in its own memory.

    Args:
        rate: see `inkbox_mcp.settings.values.Rate`.
        store: the URL of a Redis that replicas share; None for memory.
        counted: what is counted, if not calls: a word that keeps it apart in the store.
        metrics: counts failures of the store.
        clock: monotonic seconds.

    Raises:
        ValueError: the URL is invalid.
        ImportError: the store's packages are not installed; the message says how to install them.
    """

    def __init__(
        self,
        rate: Rate,
        store: str | None = None,
        *,
        counted: str = "",
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._memory = _Memory(rate, clock)
        self._redis = _Redis(rate, store, counted) if store else None
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._ask_again_at: float | None = None

    async def aclose(self) -> None:
        """Close the connections to the store, within a second."""
        if self._redis:
            with anyio.move_on_after(1, shield=True):
                await self._redis.aclose()

    async def take(self, tenant: str, count: int = 1) -> float | None:
        """Count a call of a tenant, or several things at once, if the limit allows all of them.

        Args:
            tenant: identifies the tenant.
            count: how many; of a number that is not allowed as a whole, none is counted.

        Returns:
            None if all were counted; otherwise the seconds until they may be, in tenths and never 0. Infinite if they
            never may, because the rate has fewer.
        """
        if count > self._rate.calls:
            return math.inf
        store_was_lost = self._ask_again_at is not None
        if not self._redis or not self._is_time_to_ask():
            return self._memory.take(tenant, count)
        try:
            with anyio.fail_after(STORE_PATIENCE):
                wait = await self._redis.take(tenant, count)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, calls go on
            self._lose_store(error)
            return self._memory.take(tenant, count)
        # An answer to a request from before the failure does not show that the store works again.
        if store_was_lost and self._ask_again_at is not None:
            self._ask_again_at = None
            logger.info("the rate-limit store answers again")
        return wait

    def _is_time_to_ask(self) -> bool:
        if self._ask_again_at is None:
            return True
        if self._clock() < self._ask_again_at:
            return False
        self._ask_again_at = self._clock() + STORE_PAUSE  # other calls do not wait for the one that tries the store
        return True

    def _lose_store(self, error: Exception) -> None:
        self._metrics.dependency_failed("rate_limit_store")
        if self._ask_again_at is None:
            # Only the type of the error: its message has the URL, which may have a password.
            name = type(error).__name__
            logger.warning("the rate-limit store failed (%s); until it is back, each process limits on its own", name)
        self._ask_again_at = self._clock() + STORE_PAUSE


class _Memory:
    """The windows of one process. Those of the package `limits` scan all tenants at each call."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._window = 0.0
        self._previous: dict[str, int] = {}
        self._current: dict[str, int] = {}

    def take(self, tenant: str, count: int) -> float | None:
        window, passed = divmod(self._clock(), self._rate.seconds)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else {}
            self._current, self._window = {}, window
        taken = self._current.get(tenant, 0)
        wait = _wait(self._rate, self._previous.get(tenant, 0), taken, self._rate.seconds - passed, count)
        if wait is None:
            if not taken and len(self._current) >= MAX_TENANTS:
                self._current.clear()  # invented tenants gain nothing by this: each has a new window anyway
            self._current[tenant] = taken + count
        return wait


class _Redis:
    """Windows in Redis, shared by replicas."""

    def __init__(self, rate: Rate, url: str, counted: str) -> None:
        try:
            from limits.aio.storage import RedisStorage
            from redis.asyncio import BlockingConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise ImportError(f"--rate-limit-store needs an extra: {install_line('rate-limit')}") from None
        try:
            self._pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
                # One retry, because a pooled connection may belong to a Redis that has restarted.
                url,
                max_connections=_CONNECTIONS,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError:
            raise ValueError("must be a URL that redis-py understands") from None
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("redis://", implementation="redispy", key_prefix="inkbox-mcp", **options)
        self._rate = rate
        self._suffix = f"/{rate.calls}/{rate.seconds}{counted and f'/{counted}'}"

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def take(self, tenant: str, count: int) -> float | None:
        calls, seconds = self._rate.calls, self._rate.seconds
        # Hashed, because others can read the store, and a name may be long.
        key = f"{sha256(tenant.encode()).hexdigest()[:32]}{self._suffix}"
        if await self._storage.acquire_sliding_window_entry(key, calls, seconds, count):
            return None
        previous, previous_left, current, current_left = await self._storage.get_sliding_window(key, seconds)
        # Redis keeps a window for twice its length: as the current and as the previous one.
        left = max(current_left - seconds, 0) if current_left else previous_left
        return _wait(self._rate, previous, current, left, count) or _tenths(0)


def _wait(rate: Rate, previous: int, current: int, left: float, count: int) -> float | None:
    """Return the seconds until so many more calls are allowed; None for now.

    Args:
        rate: the limit.
        previous: calls in the previous window.
        current: calls in the current window.
        left: seconds until the current window ends.
        count: calls to add, at most those of the rate.
    """
    seconds = rate.seconds
    enough = rate.calls - count + 1  # with so many calls before them, they are not allowed
    if int(previous * left / seconds) + current < enough:
        return None
    if current < enough:
        return _tenths(left - (enough - current) * seconds / previous)
    # When the current window has become the previous one, its calls count less and less.
    return _tenths(left + seconds - enough * seconds / current)


def _tenths(seconds: float) -> float:
    """Round up to a tenth that is at least 2 ms later: exactly at the boundary the call is not allowed yet."""
    return math.floor(seconds * 10 + 1.02) / 10
