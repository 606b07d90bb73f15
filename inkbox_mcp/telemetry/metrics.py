"""Prometheus metrics."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

from inkbox_mcp import install_line

Dependency = Literal["issuer", "rate_limit_store"]
"""What a server may depend on besides Inkbox."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the histograms' buckets, from the sandbox's fastest answer to the default `--timeout`."""


class Metrics:
    """Counts nothing: what callers use when metrics are off."""

    def limited_to(self, concurrency: int) -> None:
        """Set how many requests to Inkbox may be under way at once."""

    def in_flight(self) -> AbstractContextManager[object]:
        """Count a tool call as under way while the context lasts."""
        return nullcontext()

    def waiting(self) -> AbstractContextManager[object]:
        """Count the call of a tool that waits for something to happen, instead of `in_flight`."""
        return nullcontext()

    def call_ended(self, tool: str, outcome: str, seconds: float | None) -> None:
        """Count a tool call that is over.

        Args:
            tool: a name from the catalogue, never one that a client made up.
            outcome: `ok`, `asked`, `cancelled`, `bug` or an error's code.
            seconds: how long it took; None where that says nothing, because the tool waits for something to happen.
        """

    def rate_limited(self) -> None:
        """Count a tool call that `--rate-limit` refused."""

    def dependency_failed(self, dependency: Dependency) -> None:
        """Count an attempt to use something that did not work."""

    def request_ended(self, operation: str, status: int | None, seconds: float) -> None:
        """Count one request to Inkbox.

        Args:
            operation: method and template, such as `GET /api/v1/mail/mailboxes/{}`; never with a name in it.
            status: the HTTP status of the answer, or None when there was none.
            seconds: how long it took.
        """

    def request_retried(self, operation: str) -> None:
        """Count one request to Inkbox that is sent again.

        Args:
            operation: as for `request_ended`.
        """


class PrometheusMetrics(Metrics):
    """Counts for Prometheus, in a registry of its own.

    Raises:
        ImportError: prometheus-client is not installed; the message is one line that says how to get it.
    """

    def __init__(self) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ImportError(f"--metrics needs an extra: {install_line('metrics')}") from None
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Gauge,
            GCCollector,
            Histogram,
            PlatformCollector,
            ProcessCollector,
        )

        # They would double the number of series.
        prometheus_client.disable_created_metrics()
        self._registry = registry = CollectorRegistry()
        PlatformCollector(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry)
        self._calls = Counter("inkbox_mcp_calls", "Tool calls.", ["tool", "outcome"], registry=registry)
        self._seconds = Histogram(
            "inkbox_mcp_call_duration_seconds", "Time of tool calls.", ["tool"], buckets=SECONDS, registry=registry
        )
        self._in_flight = Gauge("inkbox_mcp_calls_in_flight", "Tool calls under way.", registry=registry)
        self._waiting = Gauge(
            "inkbox_mcp_calls_waiting", "Calls of tools that wait for something to happen.", registry=registry
        )
        self._max_concurrency = Gauge(
            "inkbox_mcp_max_concurrency",
            "Requests to Inkbox that may be under way at once.",
            registry=registry,
        )
        self._rate_limited = Counter(
            "inkbox_mcp_rate_limited", "Tool calls that --rate-limit refused.", registry=registry
        )
        self._failures = Counter(
            "inkbox_mcp_dependency_failures",
            "Failed attempts to use what is needed besides Inkbox.",
            ["dependency"],
            registry=registry,
        )
        for dependency in get_args(Dependency):
            self._failures.labels(dependency)  # a series must start at 0, or its first failure would not show
        self._upstream_seconds = Histogram(
            "inkbox_mcp_upstream_request_duration_seconds",
            "Time of requests to Inkbox.",
            ["operation", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self._upstream_retries = Counter(
            "inkbox_mcp_upstream_retries", "Requests to Inkbox that were sent again.", ["operation"], registry=registry
        )

    def limited_to(self, concurrency: int) -> None:
        """Set how many requests to Inkbox may be under way at once."""
        self._max_concurrency.set(concurrency)

    def in_flight(self) -> AbstractContextManager[object]:
        """Count a tool call as under way while the context lasts."""
        return self._in_flight.track_inprogress()

    def waiting(self) -> AbstractContextManager[object]:
        """Count the call of a tool that waits while the context lasts; see `Metrics.waiting`."""
        return self._waiting.track_inprogress()

    def call_ended(self, tool: str, outcome: str, seconds: float | None) -> None:
        """Count a tool call that is over; see `Metrics.call_ended`."""
        self._calls.labels(tool, outcome).inc()
        if seconds is not None:
            self._seconds.labels(tool).observe(seconds)

    def rate_limited(self) -> None:
        """Count a tool call that `--rate-limit` refused."""
        self._rate_limited.inc()

    def dependency_failed(self, dependency: Dependency) -> None:
        """Count an attempt to use something that did not work."""
        self._failures.labels(dependency).inc()

    def request_ended(self, operation: str, status: int | None, seconds: float) -> None:
        """Count one request to Inkbox; see `Metrics.request_ended`."""
        self._upstream_seconds.labels(operation, "none" if status is None else str(status)).observe(seconds)

    def request_retried(self, operation: str) -> None:
        """Count one request to Inkbox that is sent again."""
        self._upstream_retries.labels(operation).inc()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics as text. It reads files about the process, so run it in a thread.

        Args:
            accept: the `Accept` header of the request: OpenMetrics where it is asked for, Prometheus' text otherwise.

        Returns:
            The body and its content type.
        """
        from prometheus_client.exposition import choose_encoder

        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # an invalid version
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type
