"""Calls of `wait_for_message` on a mailroom."""

from typing import Any

import httpx2

from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.calls import Report
from inkbox_mcp.service import Answer, Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, AsyncHandler
from tests.support.time_lapse import heed_threads


async def served(inkbox: AsyncHandler, generation: Generation = "spec", **named: Any) -> Service:
    """Start a server on an Inkbox, in a time lapse."""
    await heed_threads()
    keys = {} if named.get("per_request_keys") else {"api_key": KEY}
    checked = Settings.model_validate({"api_generation": generation, **keys, **named})
    service = Service(checked, lambda: httpx2.MockTransport(inkbox))
    if keys:
        service.discovery.known(LOCAL).learn(generation)
    return service


async def answered(service: Service, caller: Caller = LOCAL, report: Report | None = None, **arguments: Any) -> Answer:
    """Wait for a message in `sales`, if no other mailbox is named."""
    operation = service.catalogues.of(service.settings.generation).tools["wait_for_message"]
    given = {"email_address": "sales", **{name: value for name, value in arguments.items() if value is not None}}
    answer = await service.call(operation, given, caller, report=report)
    assert isinstance(answer, Answer)
    return answer


async def wait(service: Service, caller: Caller = LOCAL, report: Report | None = None, **arguments: Any) -> Any:
    """Wait, and return the data of an answer that is no error."""
    answer = await answered(service, caller, report, **arguments)
    assert answer.data is not None, answer.text
    return answer.data
