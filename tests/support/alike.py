"""Parametrizations that tests share.

Of some, a quick run takes a part, because the others resemble it; a slow run takes the others.
"""

import signal
from collections.abc import Container, Iterable
from typing import Any

import pytest

from inkbox_mcp.catalogue import GENERATIONS

BOTH = pytest.mark.parametrize("generation", GENERATIONS)
"""For a test of each generation of the API."""


def choices(everything: Iterable[Any], alike: Container[Any]) -> list[Any]:
    """Mark the values in `alike` as slow tests, because they resemble others."""
    return [pytest.param(one, marks=pytest.mark.slow) if one in alike else one for one in everything]


ERAS_ALIKE = pytest.mark.parametrize("era", choices(["auto", "legacy"], {"legacy"}))
"""For a test of what does not depend on the protocol's era, or that another quick test shows in the older one."""

GENERATIONS_ALIKE = pytest.mark.parametrize("generation", choices(["spec", "identity"], {"identity"}))
"""The same for the generations of the API."""

SIGNALS_ALIKE = pytest.mark.parametrize(
    "number", choices([signal.SIGTERM, signal.SIGINT], {signal.SIGINT}), ids=lambda number: number.name
)
"""The same for the signals that end a server."""
