"""The Prometheus metrics about calls and about requests to Inkbox."""

import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from mcp import MCPError

from inkbox_mcp import install_line
from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Dependency, Metrics, PrometheusMetrics
from tests.support.agents import KEY, Agent, Handler, connect
from tests.support.extra_tools import offering
from tests.support.extra_tools.tools.trial import wait_for_nothing
from tests.support.metrics import samples

MAILBOX = {
    "id": "6f1d7a4e-0000-4000-8000-000000000001",
    "email_address": "sales@inkboxmail.com",
    "display_name": None,
    "webhook_url": None,
    "status": "active",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}


@asynccontextmanager
async def counted(handler: Handler, mode: str = "auto") -> AsyncGenerator[tuple[Agent, Callable[[], dict[str, float]]]]:
    """Connect an agent to a server with metrics; yield it with a function that reads them."""
    metrics = PrometheusMetrics()
    async with connect(handler, mode, counted_in=metrics) as agent:
        yield agent, lambda: samples(metrics)


async def test_calls_are_counted_by_tool_and_outcome(era: str) -> None:
    """Calls that never reach Inkbox are counted, too."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/sales@inkboxmail.com"):
            return httpx2.Response(200, json=MAILBOX)
        return httpx2.Response(404, json={"detail": "Mailbox not found"})

    async with counted(handler, era) as (agent, read):
        await agent.ask("get_mailbox", email_address="sales@inkboxmail.com")
        await agent.ask("get_mailbox", email_address="sales@inkboxmail.com")
        await agent.refused("get_mailbox", email_address="other@inkboxmail.com")
        await agent.refused("get_mailbox", email_address="no address")
        told = read()
    assert told["inkbox_mcp_calls_total ok get_mailbox"] == 2
    assert told["inkbox_mcp_calls_total not_found get_mailbox"] == 1
    assert told["inkbox_mcp_calls_total invalid_arguments get_mailbox"] == 1
    assert told["inkbox_mcp_call_duration_seconds_count get_mailbox"] == 4
    assert told["inkbox_mcp_calls_in_flight"] == 0
    assert told["inkbox_mcp_upstream_request_duration_seconds_count GET /api/v1/mail/mailboxes/{} 200"] == 2
    assert told["inkbox_mcp_upstream_request_duration_seconds_count GET /api/v1/mail/mailboxes/{} 404"] == 1


async def test_requests_that_are_sent_again_or_not_answered_are_counted() -> None:
    """Each attempt counts as a request of its own."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route")

    async with counted(handler) as (agent, read):
        await agent.refused("get_mailbox", email_address="sales@inkboxmail.com")
        told = read()
    assert told["inkbox_mcp_upstream_request_duration_seconds_count GET /api/v1/mail/mailboxes/{} none"] == 3
    assert told["inkbox_mcp_upstream_retries_total GET /api/v1/mail/mailboxes/{}"] == 2
    assert told["inkbox_mcp_calls_total unreachable get_mailbox"] == 1


async def test_a_call_that_waits_is_no_slow_call_and_takes_nobodys_place() -> None:
    """A waiting call has its own gauge until it ends, and never adds to the durations."""
    metrics = PrometheusMetrics()
    service = offering(wait_for_nothing, metrics=metrics)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.call, wait_for_nothing, {"seconds": 3600.0}, LOCAL)
        await anyio.wait_all_tasks_blocked()
        told = samples(metrics)
        assert (told["inkbox_mcp_calls_waiting"], told["inkbox_mcp_calls_in_flight"]) == (1, 0)
        service.ending.set()
    await service.call(wait_for_nothing, {"seconds": "no number"}, LOCAL)
    told = samples(metrics)
    assert told["inkbox_mcp_calls_waiting"] == 0
    assert told["inkbox_mcp_calls_total ok wait_for_nothing"] == 1
    assert told["inkbox_mcp_calls_total invalid_arguments wait_for_nothing"] == 1
    assert not [name for name in told if name.startswith("inkbox_mcp_call_duration_seconds")]


async def test_a_call_is_in_flight_until_it_ends_or_is_cancelled() -> None:
    """The gauge returns to zero even when the call is cancelled."""
    asked = anyio.Event()
    metrics = PrometheusMetrics()

    class Silent(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            asked.set()
            await anyio.sleep_forever()
            raise AssertionError

    async with connect(Silent(), counted_in=metrics) as agent, anyio.create_task_group() as tasks:
        tasks.start_soon(agent.call, "whoami")
        await asked.wait()
        assert samples(metrics)["inkbox_mcp_calls_in_flight"] == 1
        tasks.cancel_scope.cancel()
    told = samples(metrics)
    assert told["inkbox_mcp_calls_in_flight"] == 0
    assert told["inkbox_mcp_calls_total cancelled whoami"] == 1
    assert told["inkbox_mcp_upstream_request_duration_seconds_count GET /api/whoami none"] == 1


async def test_names_that_clients_make_up_become_no_labels() -> None:
    """Prometheus stores a series for each label value, so made-up names could fill its memory."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(404, json={"detail": "no"})

    async with counted(handler) as (agent, read):
        for name in ("made-up", "whoami\n", "é" * 1000):
            with pytest.raises(MCPError, match="Unknown tool"):
                await agent.call(name)
        await agent.refused("get_mailbox", email_address="one@inkboxmail.com")
        series = set(read())
        for number in range(20):
            await agent.refused("get_mailbox", email_address=f"other{number}@inkboxmail.com")
        assert set(read()) == series
    assert not any("made-up" in name or "inkboxmail" in name for name in series)


def test_a_rate_limited_call_is_counted() -> None:
    """The counter has no labels, so it exists with the value 0 from the start."""
    metrics = PrometheusMetrics()
    assert samples(metrics)["inkbox_mcp_rate_limited_total"] == 0
    metrics.rate_limited()
    assert samples(metrics)["inkbox_mcp_rate_limited_total"] == 1


@pytest.mark.parametrize("dependency", ["issuer", "rate_limit_store"])
def test_a_failure_of_what_is_needed_besides_inkbox_is_counted(dependency: Dependency) -> None:
    """The counter starts at zero, because an alert could not see the first failure otherwise."""
    metrics = PrometheusMetrics()
    series = f"inkbox_mcp_dependency_failures_total {dependency}"
    assert samples(metrics)[series] == 0
    metrics.dependency_failed(dependency)
    assert samples(metrics)[series] == 1


def test_calls_under_way_can_be_compared_with_how_many_there_may_be() -> None:
    """The gauge shows the limit that the operator set."""
    metrics = PrometheusMetrics()
    Service(Settings.model_validate({"api_key": KEY, "max_concurrency": 7}), metrics=metrics)
    assert samples(metrics)["inkbox_mcp_max_concurrency"] == 7


def test_buckets_tell_a_millisecond_from_half_a_minute() -> None:
    """Buckets exist both for fast answers of the sandbox and for answers just before the deadline."""
    metrics = PrometheusMetrics()
    for seconds in (0.0008, 0.02, 29, 100):
        metrics.call_ended("whoami", "ok", seconds)
    told = samples(metrics)
    counts = [
        told[f"inkbox_mcp_call_duration_seconds_bucket {end} whoami"] for end in ("0.001", "0.025", "30.0", "+Inf")
    ]
    assert counts == [1, 2, 3, 4]


def test_two_servers_in_one_process_count_apart() -> None:
    """Embedders and tests start more than one server in a process."""
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.call_ended("whoami", "ok", 0.1)
    assert "inkbox_mcp_calls_total ok whoami" in samples(one)
    assert "inkbox_mcp_calls_total ok whoami" not in samples(other)


def test_the_process_tells_about_itself() -> None:
    """The metrics cover memory, garbage collection and the Python version, without `_created` series."""
    told = samples(PrometheusMetrics())
    assert any(name.startswith("python_info") for name in told)
    assert any(name.startswith("python_gc_objects_collected_total") for name in told)
    assert sys.platform != "linux" or told["process_resident_memory_bytes"] > 0
    assert not any("_created" in name for name in told)


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain; version=0.0.4", b"\n"),
        ("*/*", "text/plain; version=0.0.4", b"\n"),
        ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain", "application/openmetrics-text", b"# EOF\n"),
        ("application/openmetrics-text", "application/openmetrics-text", b"# EOF\n"),
        ("application/openmetrics-text; version=none", "text/plain; version=0.0.4", b"\n"),
        ("text/plain; version=1.x", "text/plain; version=0.0.4", b"\n"),
        (",;,;=;\x00é", "text/plain; version=0.0.4", b"\n"),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, content_type: str, end: bytes) -> None:
    """The endpoint answers every Accept header, even a malformed one."""
    body, told = PrometheusMetrics().exposition(accept)
    assert told.startswith(content_type)
    assert body.endswith(end)


def test_metrics_that_are_off_cost_nothing_to_call() -> None:
    """Callers may use the methods without checking whether metrics are on."""
    metrics = Metrics()
    with metrics.in_flight():
        metrics.call_ended("whoami", "ok", 1)
        metrics.rate_limited()
        metrics.limited_to(32)
        metrics.dependency_failed("issuer")
        metrics.request_ended("GET /api/whoami", None, 1)
        metrics.request_retried("GET /api/whoami")


def test_metrics_that_are_off_load_nothing() -> None:
    """Desktop clients start a server for each conversation, so its imports must be few."""
    program = "import sys, inkbox_mcp.telemetry.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells in one line what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=f"^--metrics needs an extra: {re.escape(install_line('metrics'))}$"):
        PrometheusMetrics()
