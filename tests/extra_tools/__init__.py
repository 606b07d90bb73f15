"""Tools that no server has outside the tests, and a server that has them.

`python -m tests.extra_tools` is `inkbox-mcp` with these tools beside its own.
"""

from typing import Any

import httpx2

from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.toolkit.operation import Operation
from tests.conftest import KEY


def offering(*operations: Operation[Any, Any], metrics: Metrics | None = None, **settings: Any) -> Service:
    """Make a service that offers these tools besides its own; its Inkbox has nothing."""
    checked = Settings.model_validate({"api_key": KEY, **settings})
    service = Service(checked, lambda: httpx2.MockTransport(lambda _: httpx2.Response(200, json=[])), metrics)
    service.operations.update({operation.name: operation for operation in operations})
    return service
