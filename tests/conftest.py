"""Fixtures that the tests share."""

import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx2
import hypothesis
import pytest
import stamina
from mcp import Client
from mcp.types import CallToolResult, TextContent

from inkbox_mcp.api.retries import ATTEMPTS
from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Dependency, Metrics

Handler = Callable[[httpx2.Request], httpx2.Response]
KEY = "ApiKey_11111111-1111-4111-8111-111111111111.top-secret"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that another system than this one can run; see `markers` in pyproject.toml."""
    if sys.platform != "linux" and item.get_closest_marker("linux"):
        pytest.skip("needs programs that are installed on Linux only")
    if sys.platform == "win32" and item.get_closest_marker("posix"):
        pytest.skip("needs signals, file modes or a shell, as POSIX has them")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Losses(Metrics):
    """Notes what could not be used, at each attempt."""

    def __init__(self) -> None:
        self.of: list[Dependency] = []

    def dependency_failed(self, dependency: Dependency) -> None:
        """Note it."""
        self.of.append(dependency)


# Timings are never asserted: machines may be busy.
hypothesis.settings.register_profile("any_machine", deadline=None)
hypothesis.settings.load_profile("any_machine")


def pytest_configure(config: pytest.Config) -> None:
    """Load Schemathesis where its tests may run: that takes a second."""
    if config.getoption("markexpr") != "not slow":
        config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the module that needs it where it is not loaded; its tests are slow ones."""
    loaded = config.pluginmanager.has_plugin("schemathesis.pytest.plugin")
    return True if collection_path.name == "test_schemathesis.py" and not loaded else None


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Make `-n auto` three workers on two cores: one of them usually waits for a process or for time to pass."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores * 3 // 2


@pytest.fixture
def anyio_backend() -> str:
    """The SDK's HTTP transports run on asyncio only."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_pauses() -> Generator[None]:
    """Retries happen at once; how long their pauses are is stamina's affair and ours in `test_retries`."""
    stamina.set_testing(True, attempts=ATTEMPTS)
    yield
    stamina.set_testing(False)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """A client of each protocol era: 2026-07-28 without a handshake, and 2025-11-25 with one."""
    return request.param


class Agent:
    """What an agent sees of a server: tools called by name, and results as data or as an error's text."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool and return the whole result."""
        return await self.client.call_tool(tool, arguments)

    async def ask(self, tool: str, **arguments: Any) -> Any:
        """Call a tool that must succeed and return its data."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text(result)
        return result.structured_content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail and return the error's text."""
        result = await self.call(tool, **arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        return text(result)


def text(result: CallToolResult) -> str:
    """Return the text of a result."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


class Connect(Protocol):
    """Connects an agent to a server in this process, whose API is a function from request to response."""

    def __call__(self, handler: Handler, mode: str = "auto", **settings: Any) -> AbstractAsyncContextManager[Agent]:
        """Enter to connect."""
        ...


@pytest.fixture
def connect() -> Connect:
    """Return the function that connects an agent."""

    @asynccontextmanager
    async def connect(handler: Handler, mode: str = "auto", **settings: Any) -> AsyncGenerator[Agent]:
        checked = Settings.model_validate({"api_key": KEY, **settings})
        server = build_server(checked, transport=lambda: httpx2.MockTransport(handler))
        async with Client(server, mode=mode) as client:
            yield Agent(client)

    return connect


class SharedHTTP(Protocol):
    """Returns the origin of a server on an empty sandbox, which all tests of a worker share; they must not change it.

    The first that asks for these options and variables starts the server, which ends after the last test.
    """

    def __call__(self, *options: str, **variables: str) -> str:
        """Return it."""
        ...


@pytest.fixture(scope="session")
def shared_http(tmp_path_factory: pytest.TempPathFactory) -> Generator[SharedHTTP]:
    """Return the function that finds or starts a server for tests which only read."""
    from tests.support.shared_servers import sharing  # it needs this module

    with sharing(lambda: tmp_path_factory.mktemp("shared")) as origin:
        yield origin


@pytest.fixture
async def agent(era: str) -> AsyncGenerator[Agent]:
    """An agent of each era on an empty sandbox."""
    with Store(":memory:") as store:
        app = create_app(store)
        server = build_server(Settings(sandbox=True), transport=lambda: httpx2.ASGITransport(app))
        async with Client(server, mode=era) as client:
            yield Agent(client)
