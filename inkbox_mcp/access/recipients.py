"""Limits how many recipients the messages of each Inkbox key have in an hour."""

import math
import time
from collections.abc import Callable
from hashlib import sha256

from pydantic import SecretStr

from inkbox_mcp.access.rate_limits import RateLimit
from inkbox_mcp.errors import TooManyRecipients
from inkbox_mcp.settings.values import Rate
from inkbox_mcp.telemetry.metrics import Metrics

HOUR = 3600


class RecipientCount:
    """The recipients of the last hour, for each key; all callers with one key share its count.

    Args:
        most: that a key may have in an hour.
        store: see `RateLimit`.
        metrics: see `RateLimit`.
        clock: see `RateLimit`.

    Raises:
        ValueError: see `RateLimit`.
        ImportError: see `RateLimit`.
    """

    def __init__(
        self,
        most: int,
        store: str | None = None,
        *,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        rate = Rate(most, HOUR, f"{most}/h")
        self._limit = RateLimit(rate, store, counted="recipients", metrics=metrics, clock=clock)

    async def aclose(self) -> None:
        """Close the connections to the store, within a second."""
        await self._limit.aclose()

    async def add(self, key: SecretStr, number: int) -> None:
        """Count the recipients of a message.

        Args:
            key: the Inkbox key that the message is sent with.
            number: of recipients.

        Raises:
            TooManyRecipients: the limit does not allow all of them, and none was counted.
        """
        tenant = sha256(key.get_secret_value().encode("utf-8", "replace")).hexdigest()
        if wait := await self._limit.take(tenant, number):
            raise TooManyRecipients(number, self._most, None if math.isinf(wait) else wait)
