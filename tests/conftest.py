"""Fixtures that the tests share."""

import gc
import json
import os
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import jsonschema
import pytest
import stamina

from inkbox_mcp.api.retries import ATTEMPTS
from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.sandbox import Generation, Store, create_app
from tests.support.agents import Agent, connect
from tests.support.humans import Desk
from tests.support.shared_servers import SharedHTTP, sharing


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that this system cannot run; see `markers` in pyproject.toml."""
    if sys.platform != "linux" and item.get_closest_marker("linux"):
        pytest.skip("needs programs that are installed on Linux only")
    if sys.platform == "win32" and item.get_closest_marker("posix"):
        pytest.skip("needs signals, file modes or a shell, as POSIX has them")


# Timings are never asserted: machines may be busy. In CI, a change is judged by the same examples at each run; the runs
# of people draw new ones, and fewer.
IN_CI = "CI" in os.environ
hypothesis.settings.register_profile("any_machine", deadline=None, derandomize=IN_CI, max_examples=100 if IN_CI else 30)
hypothesis.settings.load_profile("any_machine")


def pytest_configure(config: pytest.Config) -> None:
    """Load Schemathesis only where its tests may run, because loading takes a second."""
    if config.getoption("markexpr") != "not slow":
        config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests of Schemathesis where it is not loaded; all of them are slow tests."""
    loaded = config.pluginmanager.has_plugin("schemathesis.pytest.plugin")
    return True if collection_path.name == "test_schemathesis.py" and not loaded else None


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of each garbage collection: they live as long as the process."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Run tests on asyncio only, because the SDK's HTTP transports do."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_pauses() -> Generator[None]:
    """Let retries happen at once; `test_retries` covers their pauses."""
    stamina.set_testing(True, attempts=ATTEMPTS)
    yield
    stamina.set_testing(False)


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """Run a test with a client of each protocol era: 2026-07-28 without a handshake, 2025-11-25 with one."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def no_public_authorities(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Trust no public certificate authority: no test needs one, and every HTTP client would take 17 ms to load all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("authorities")))
        yield


@pytest.fixture(scope="session", autouse=True)
def schemas_are_checked_once() -> Generator[None]:
    """Check each schema once: each new client checks those of the tools it calls, a fifth of all that tests compute."""
    check = jsonschema.Draft202012Validator.check_schema
    valid: set[str] = set()

    def check_once(schema: Any, *arguments: Any, **options: Any) -> None:
        written = json.dumps([schema, repr((arguments, options))])
        if written not in valid:
            check(schema, *arguments, **options)
            valid.add(written)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonschema.Draft202012Validator, "check_schema", check_once)
        yield


@pytest.fixture(scope="session")
def shared_http(tmp_path_factory: pytest.TempPathFactory) -> Generator[SharedHTTP]:
    """Return the function that finds or starts a server for tests which only read."""
    with sharing(lambda: tmp_path_factory.mktemp("shared")) as origin:
        yield origin


@pytest.fixture
def store() -> Generator[Store]:
    """A store for one test."""
    with Store(":memory:") as store:
        yield store


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each generation of the API."""
    return request.param


@pytest.fixture
async def agent(era: str, store: Store) -> AsyncGenerator[Agent]:
    """An agent of each era on an empty sandbox."""
    async with connect(httpx2.ASGITransport(create_app(store)), era, sandbox=True) as agent:
        yield agent


@pytest.fixture
async def desk(store: Store) -> Desk:
    """A sandbox with the mailbox `sales`, where humans are asked."""
    desk = Desk(store)
    await desk.prepare()
    return desk
