"""Over stdio, the list of tools fits the organization from the second start on without loading anything."""

import json
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY
from tests.support.alike import BOTH
from tests.support.conversations import HELLO, served
from tests.support.messages import rpc
from tests.support.moving import Moving
from tests.support.openings import call, legacy, modern
from tests.support.stdio_sessions import Session, loaded

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


@pytest.mark.parametrize(
    "lines", [OPENINGS[0], pytest.param(OPENINGS[1], marks=pytest.mark.slow)], ids=["legacy", "modern"]
)
def test_the_first_start_looks_and_the_second_one_is_answered_from_a_recording(
    lines: list[bytes], tmp_path: Path
) -> None:
    """One request, ever; the recording of the first start counts although that start learnt the generation."""
    with inkbox(200) as (variables, requests):
        assert "mcp" in loaded(tmp_path, lines, **variables)
        assert requests == ["/api/v1/webhooks/subscriptions"]
        assert "inkbox_mcp.service" not in loaded(tmp_path, lines, **variables)
        assert len(requests) == 1


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a folder": lambda place: place.mkdir(),
    "a link to nothing": lambda place: place.symlink_to("nothing"),
    "a file that others may read": lambda place: (place.write_text("spec"), place.chmod(0o644)),
    "a file that is closed to all": lambda place: (place.touch(), place.chmod(0)),
    "a pipe": lambda place: os.mkfifo(place, 0o600),
    "a long file": lambda place: (place.write_bytes(b"\xff" * 100_000), place.chmod(0o600)),
    "a strange name": lambda place: place.with_name("\n\u202e").mkdir(),
}


@pytest.mark.parametrize(
    "kind", [kind if kind == "a link to nothing" else pytest.param(kind, marks=pytest.mark.slow) for kind in FOREIGN]
)
def test_what_is_foreign_among_the_generations_hides_no_other(kind: str, tmp_path: Path) -> None:
    """A recording is still found, and does not answer after another process has learnt that the organization moved."""
    lines = legacy("2025-11-25")
    with inkbox(404) as (variables, _):
        loaded(tmp_path, lines, **variables)
        (memory,) = (tmp_path / ".cache" / "inkbox-mcp" / "generations").iterdir()
        assert memory.read_text() == "spec"
        FOREIGN[kind](memory.with_name("0"))
        loaded(tmp_path, lines, **variables)
        assert "inkbox_mcp.service" not in loaded(tmp_path, lines, **variables)
        memory.write_text("identity")
        assert "inkbox_mcp.service" in loaded(tmp_path, lines, **variables)


def test_without_an_answer_nothing_is_recorded(tmp_path: Path) -> None:
    """The list may be wrong, so the next start looks again."""
    lines = legacy("2025-11-25")
    nobody = {"INKBOX_BASE_URL": "http://127.0.0.1:1", "INKBOX_API_KEY": KEY, "INKBOX_MCP_TIMEOUT": "0.5"}
    assert "inkbox_mcp.service" in loaded(tmp_path, lines, **nobody)
    assert not (tmp_path / ".cache").exists()


def test_a_list_that_another_process_has_made_outdated_is_not_recorded(tmp_path: Path) -> None:
    """The other process learns after this one has shown its list, and before the recording is written."""
    lines = legacy("2025-11-25")
    with inkbox(404) as (variables, _):
        session = Session(tmp_path, **variables)
        answers = [session.ask(line) for line in lines]
        assert b'"name":"create_mailbox"' in answers[2]
        (memory,) = (tmp_path / ".cache" / "inkbox-mcp" / "generations").iterdir()
        memory.write_text("identity")
        session.end(call("c", name="whoami"))
        next_one = Session(tmp_path, **variables)
        assert b'"name":"create_mailbox"' not in [next_one.ask(line) for line in lines][2]
        next_one.end()


def service_on(world: Moving, **settings: str) -> Service:
    """Make a service on an Inkbox, which nothing is remembered of."""
    return Service(Settings.model_validate({"api_key": KEY, **settings}), lambda: httpx2.MockTransport(world))


@BOTH
def test_answers_before_and_after_the_generation_is_known_are_not_recorded_together(generation: str) -> None:
    """The first look may fail and a later one succeed."""
    discovery = service_on(Moving(None)).discovery
    discovery.shown(LOCAL)
    discovery.known(LOCAL).learn("spec" if generation == "spec" else "identity")
    discovery.shown(LOCAL)
    assert discovery.shown_for_good(LOCAL) is None


def test_a_list_that_the_next_start_will_not_show_is_not_recorded() -> None:
    """The operator names a generation, and the organization is on the other one."""
    discovery = service_on(Moving(), api_generation="spec").discovery
    discovery.known(LOCAL).learn("identity")
    discovery.shown(LOCAL)
    assert discovery.shown_for_good(LOCAL) is None
    right = service_on(Moving(), api_generation="identity").discovery
    right.shown(LOCAL)
    assert right.shown_for_good(LOCAL) == "identity"


RECORDED = [(HELLO, b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}\n')]
RECORDED_LIST = (rpc(id=1, method="tools/list"), b'{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}\n')


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_client_with_a_recorded_list_is_notified_if_the_list_was_outdated_when_the_server_loaded(
    is_plain: bool,
) -> None:
    """Another process may learn in between. The recorded lines are not answered again, although the list is another."""
    service = service_on(Moving("identity"), api_generation="identity")
    async with served(service, [*RECORDED, RECORDED_LIST]) as wire:
        wire.say(call("c", name="list_mailboxes" if is_plain else "delete_identity", arguments={}))
        answers = sorted([await wire.line(), await wire.line()])
        wire.leave()
    assert [json.loads(line).get("method", "answer") for line in answers] == [
        "answer",
        "notifications/tools/list_changed",
    ]
    assert json.loads(answers[0])["id"] == "c"
