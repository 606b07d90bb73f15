"""A tool call's id: the caller's own where it can stand in a header and a log, and known to all that is logged."""

import io
import json
import logging

import httpx2
import pytest

from inkbox_mcp.calls import begin
from inkbox_mcp.calls import request_id as current_request_id
from inkbox_mcp.telemetry.logs import JSONFormatter, TextFormatter
from tests.conftest import Connect


@pytest.mark.parametrize("given", ["gateway-7", "0af7651916cd43dd8448eb211c80319c", "a/b:c.d+e=f@g_h", "x" * 128])
async def test_a_callers_id_is_kept(given: str) -> None:
    """Gateways have forms of their own."""
    with begin(1, given) as call:
        assert call.request_id == given == current_request_id()
    assert current_request_id() is None


@pytest.mark.parametrize(
    "given", [None, "", "two words", "x" * 129, "a\nb", "a\x0bb", "schlüssel", 'a"b', "<script>", "٣"]
)
async def test_an_id_that_could_not_stand_in_a_header_or_a_log_is_replaced(given: str | None) -> None:
    """By one that no other call has."""
    with begin(1, given) as first, begin(1, given) as second:
        assert first.request_id != second.request_id
        for call in (first, second):
            assert len(call.request_id) == 16
            assert int(call.request_id, 16) >= 0


def written(formatter: logging.Formatter, message: str, *values: object, error: Exception | None = None) -> str:
    """Write one record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    info = (type(error), error, error.__traceback__) if error else None
    handler.handle(logging.LogRecord("some.logger", logging.WARNING, "", 0, message, values, info))
    return stream.getvalue()


async def test_every_line_of_a_call_ends_with_its_id() -> None:
    """For people the line is otherwise as it was."""
    assert written(TextFormatter(), "%s happened", "it").endswith("WARNING some.logger: it happened\n")
    with begin(1, "gateway-7"):
        assert written(TextFormatter(), "%s happened", "it").endswith(": it happened [gateway-7]\n")


async def test_a_json_line_stays_one_line_whatever_it_holds() -> None:
    """Line breaks, quotes and what is no text at all."""
    with begin(1, "gateway-7"):
        line = written(JSONFormatter(), 'a\n"b" %s', object, error=ValueError("c\nd"))
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["message"].startswith('a\n"b" <class')
    assert told["request_id"] == "gateway-7"
    assert "ValueError: c\nd" in told["exception"]
    assert "trace_id" not in told


async def test_an_error_tells_its_requests_id(era: str, connect: Connect) -> None:
    """Where a program finds it, and the reader of the log the same."""
    async with connect(
        lambda request: httpx2.Response(404, headers={"X-Seen": request.headers["x-request-id"]}), era
    ) as agent:
        result = await agent.call("get_mailbox", email_address="nobody")
        assert result.meta
        assert len(result.meta["request_id"]) == 16
