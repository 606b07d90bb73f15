"""Metrics for tests."""

from prometheus_client.parser import text_string_to_metric_families

from inkbox_mcp.telemetry.metrics import Dependency, Metrics, PrometheusMetrics


class Losses(Metrics):
    """Records each failed attempt to use a dependency."""

    def __init__(self) -> None:
        self.of: list[Dependency] = []

    def dependency_failed(self, dependency: Dependency) -> None:
        """Record the dependency."""
        self.of.append(dependency)


def samples(metrics: PrometheusMetrics) -> dict[str, float]:
    """Return all values by name and label values, such as `inkbox_mcp_calls_total ok get_mailbox`."""
    body, _ = metrics.exposition()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
