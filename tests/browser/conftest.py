"""Fixtures: a browser, a sandbox with its page, and a person who looks at it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.support.viewers import Viewer, WatchedSandbox, browsing, viewing, watched_sandbox


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let the tests of a module share an event loop, and with it the browser."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    """A browser."""
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncGenerator[WatchedSandbox]:
    """A sandbox on an empty file."""
    async with watched_sandbox(tmp_path) as sandbox:
        yield sandbox


@pytest.fixture
async def viewer(browser: Browser) -> AsyncGenerator[Viewer]:
    """A person at a desk."""
    async with viewing(browser) as viewer:
        yield viewer
