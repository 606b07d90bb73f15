"""Over stdio, the list of tools fits the organization from the second start on without loading anything."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import KEY
from tests.support.openings import legacy, modern
from tests.support.stdio_sessions import loaded

pytestmark = pytest.mark.posix

OPENINGS = [legacy("2025-11-25"), modern("2026-07-28")]


@contextmanager
def inkbox(status: int) -> Generator[tuple[dict[str, str], list[str]]]:
    """Serve an Inkbox that answers everything with this status; yield the variables for it, and its requests."""
    requests: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            body = b'{"detail": "Not Found", "subscriptions": []}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {"INKBOX_BASE_URL": f"http://127.0.0.1:{server.server_port}", "INKBOX_API_KEY": KEY}, requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("lines", OPENINGS, ids=["legacy", "modern"])
def test_the_first_start_looks_and_the_second_one_is_answered_from_a_recording(
    lines: list[bytes], tmp_path: Path
) -> None:
    """One request, ever; the recording of the first start counts although that start learnt the generation."""
    with inkbox(200) as (variables, requests):
        assert "mcp" in loaded(tmp_path, lines, **variables)
        assert requests == ["/api/v1/webhooks/subscriptions"]
        assert "inkbox_mcp.service" not in loaded(tmp_path, lines, **variables)
        assert len(requests) == 1


def test_what_another_process_has_learnt_changes_the_recording(tmp_path: Path) -> None:
    """A recording of the old list must not answer after the organization has moved."""
    lines = legacy("2025-11-25")
    with inkbox(404) as (variables, _):
        loaded(tmp_path, lines, **variables)
        assert "inkbox_mcp.service" not in loaded(tmp_path, lines, **variables)
        (memory,) = (tmp_path / ".cache" / "inkbox-mcp" / "generations").iterdir()
        assert memory.read_text() == "spec"
        memory.write_text("identity")
        assert "inkbox_mcp.service" in loaded(tmp_path, lines, **variables)


def test_without_an_answer_nothing_is_recorded(tmp_path: Path) -> None:
    """The list may be wrong, so the next start looks again."""
    lines = legacy("2025-11-25")
    nobody = {"INKBOX_BASE_URL": "http://127.0.0.1:1", "INKBOX_API_KEY": KEY, "INKBOX_MCP_TIMEOUT": "0.5"}
    for _ in range(2):
        assert "inkbox_mcp.service" in loaded(tmp_path, lines, **nobody)
    assert not (tmp_path / ".cache").exists()
