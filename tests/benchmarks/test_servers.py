"""Servers as benchmarks call them: only right answers count, and all servers do the same work."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from dataclasses import replace
from http.client import parse_headers
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from statistics import median
from threading import Thread
from typing import Any
from urllib.parse import unquote

import anyio
import pytest

sys.path.append(str(Path(__file__).parent.parent.parent))  # benchmarks are not installed

from benchmarks import direct
from benchmarks.__main__ import as_json, report
from benchmarks.agreement import agree, compare_answers
from benchmarks.client import IN_FLIGHT, Server, one_by_one, side_by_side, started
from benchmarks.comparison import Comparison, Plan
from benchmarks.deployments import serving
from benchmarks.faked import mailbox
from benchmarks.memory import growth, session, tenant
from benchmarks.messages import ADDRESS, CALLS
from benchmarks.peers import Peer, environment, loop, mcpserver, ours
from benchmarks.processes import BenchmarkError, output
from benchmarks.scenarios import ceiling_target
from benchmarks.stub import inkbox_stub
from benchmarks.waits import side_by_side as waits_side_by_side
from benchmarks.wrk import load
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.linux
ROOT = Path(__file__).parent.parent.parent


class Connection(StreamRequestHandler):
    """A connection that stays open as long as the client wants."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer requests one after another."""
        assert isinstance(self.server, Inkbox)
        with suppress(ConnectionError):
            while request := self.rfile.readline():
                self.rfile.read(int(parse_headers(self.rfile).get("Content-Length", 0)))
                method, path, _ = request.decode().split()
                self.wfile.write(self.server.answer(method, unquote(path)))


class Inkbox(ThreadingTCPServer):
    """An Inkbox in which every requested mailbox exists."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests = 0
        self.changes = False

    def answer(self, method: str, path: str) -> bytes:
        """Return the whole answer to a request."""
        self.requests += 1
        if method == "DELETE":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        address = path.partition("/mailboxes/")[2]
        found = mailbox(self.requests if self.changes else 0, address or ADDRESS)
        if path.endswith("/identities"):
            found |= {"agent_handle": "sales-agent"}
        body = json.dumps(found if address or method == "POST" else [found]).encode()
        status = b"201 Created" if method == "POST" else b"200 OK"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % (status, len(body)) + body


@pytest.fixture
def inkbox() -> Generator[Inkbox]:
    """Serve an Inkbox on loopback."""
    with Inkbox() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(peer: Peer, measure: str, inkbox: Inkbox, home: Path) -> dict[str, Any]:
    """Measure a server with a client in its own process."""
    job = {
        "command": peer.stdio,
        "environment": environment(inkbox.origin, home),
        "log": str(home / "log"),
        "measure": measure,
        "seconds": 0.2,
    }
    return json.loads(output([sys.executable, "-m", "benchmarks.client", json.dumps(job)], PATIENCE, ROOT))


@pytest.mark.slow
def test_servers_by_hand_and_with_decorators_answer_the_same_data_as_ours(inkbox: Inkbox, tmp_path: Path) -> None:
    """The test covers all five tools, and the text of each result holds the data."""
    answers = {peer.name: client(peer, "answers", inkbox, tmp_path) for peer in (ours(), mcpserver(), loop())}
    for tool, _ in CALLS:
        agree(tool, {name: answer["data"][tool] for name, answer in answers.items()})
    assert answers["inkbox-mcp"]["data"]["get_mailbox"] == mailbox(0, ADDRESS)
    assert all(answer["text"] > len(ADDRESS) for answer in answers.values())


@pytest.mark.slow
def test_a_server_answers_the_same_to_clients_of_both_eras_over_http(inkbox: Inkbox, tmp_path: Path) -> None:
    """Different data stop the benchmark, and the error shows both."""
    with serving(ours(), "sessions", inkbox.origin, tmp_path) as service:
        compare_answers([service, replace(service, peer=mcpserver())])
        inkbox.changes = True
        named = r"^create_mailbox: inkbox-mcp on 2026-07-28 answers .*, but inkbox-mcp on 2025-11-25 "
        with pytest.raises(BenchmarkError, match=named):
            compare_answers([service])
        assert service.memory > 10


def test_a_server_that_serves_stdio_only_is_no_http_service(tmp_path: Path) -> None:
    """The benchmark refuses it before it starts a process."""
    with pytest.raises(BenchmarkError, match=r"^hand-written serves stdio only$"), ExitStack() as stack:
        stack.enter_context(serving(loop(), "sessions", "http://127.0.0.1:1", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measure", "shown", "calls"),
    [
        ("start", {"list_bytes", "listed", "memory", "cpu"}, 0),
        ("first", {"first_result", "cpu"}, 1),
        ("steady", {"p50", "calls_per_second", "p50_after", "client_busy", "cpu"}, 300 + 64),
    ],
)
def test_a_measure_of_a_real_server_is_positive(
    measure: str, shown: set[str], calls: int, inkbox: Inkbox, tmp_path: Path
) -> None:
    """The measured calls reach Inkbox."""
    found = client(ours(), measure, inkbox, tmp_path)
    assert found.keys() == shown
    assert all(value > 0 for value in found.values())
    assert inkbox.requests == calls if calls < 2 else inkbox.requests > calls


@pytest.mark.slow
def test_httpx2_alone_gets_one_mailbox_after_another(inkbox: Inkbox) -> None:
    """It makes at least twice as many calls as the warm-up."""
    script = "import sys, anyio, benchmarks.direct as d; print(anyio.run(d.measure, sys.argv[1], 0))"
    assert 0 < float(output([sys.executable, "-c", script, inkbox.origin], PATIENCE, ROOT)) < 1000
    assert inkbox.requests == 2 * direct.WARM_UP


ECHO = """
import json, sys
answered = 0
for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    number, params = request["id"], request.get("params", {})
    data = {"email_address": params.get("arguments", {}).get("email_address")}
    result = {"structuredContent": data, "content": [{"type": "text", "text": "."}], "tools": []}
    LIE
    answered += 1
    print(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}), flush=True)
sys.stderr.write(f"{answered} answered")
"""


def echoing(lie: str = "pass") -> list[str]:
    """Return the command of a server that has every mailbox, and whose answers `lie` may corrupt."""
    return [sys.executable, "-c", ECHO.replace("LIE", lie)]


def test_every_call_one_by_one_is_counted_once(tmp_path: Path) -> None:
    """It makes exactly the wanted number of calls, measured in milliseconds."""
    with started(echoing(), dict(os.environ), str(tmp_path / "log")) as server:
        latencies = one_by_one(server, 2, at_least=5)
    assert len(latencies) == 5
    assert 0 < median(latencies) < 1000
    assert (tmp_path / "log").read_text() == "5 answered"


def test_a_rate_counts_what_was_answered_while_calls_were_under_way(tmp_path: Path) -> None:
    """The last answers do not count, because no new calls replace them."""
    with started(echoing(), dict(os.environ), str(tmp_path / "log")) as server:
        rate = side_by_side(server, 2, 0.1)
        assert len(one_by_one(server, 2, at_least=1)) == 1
    answered = int((tmp_path / "log").read_text().split()[0]) - 1
    assert round(rate * 0.1) == answered - IN_FLIGHT > 0


def in_turn(server: Server) -> None:
    """Make two calls, one after the other."""
    one_by_one(server, 2, at_least=2)


def together(server: Server) -> None:
    """Make many calls at once."""
    side_by_side(server, 2, 0.05)


def shaking_hands(server: Server) -> None:
    """Initialize without a call."""
    server.shake_hands()


@pytest.mark.parametrize("ask", [in_turn, together])
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("data['email_address'] = 'client-0@example.com'", "a call was answered b'.*client-0@example.com"),
        ("number += 1", "a call was answered b'.*client-2@"),
        ("result['isError'] = True", "a call was answered b'.*isError"),
        ("result['content'] = []", 'a call was answered b\'.*"content": \\[\\]'),
        ("result['structuredContent'] = None", "a call was answered b'.*null"),
        ("result = None", 'a call was answered b\'.*"result": null'),
        ("print('a log line', flush=True)", "a call was answered b'a log line'"),
        ("print('[]', flush=True)", r"a call was answered b'\[\]'"),
        ('print(\'{"id": null, "error": {"code": -32700}}\', flush=True)', "a call was answered b'.*-32700"),
        ("sys.exit('out of memory')", "the server ended after b'': out of memory"),
        ("sys.stdout.write('{'); sys.exit()", "the server ended after b'{': it wrote nothing"),
    ],
)
def test_a_wrong_answer_is_an_error_that_shows_it(
    ask: Callable[[Server], None], lie: str, message: str, tmp_path: Path
) -> None:
    """The error quotes the answer or the server's last line."""
    with (
        pytest.raises(BenchmarkError, match=f"^{message}"),
        started(echoing(lie), dict(os.environ), str(tmp_path / "log")) as server,
    ):
        ask(server)


def test_a_server_that_goes_on_after_a_wrong_answer_is_ended(tmp_path: Path) -> None:
    """Otherwise the error would wait for the server to end."""
    command = echoing("result['isError'] = True")
    command[-1] += "\nimport time; time.sleep(60); sys.stderr.write('nobody ended me')"
    log = tmp_path / "log"
    with pytest.raises(BenchmarkError), started(command, dict(os.environ), str(log)) as server:
        in_turn(server)
    assert "nobody" not in log.read_text()


@pytest.mark.parametrize(
    ("lie", "ask", "message"),
    [
        ("print(json.dumps({'id': number, 'result': result}))", in_turn, "call [23] was answered "),
        ("print(json.dumps({'id': number, 'result': result}))", together, "call 2 was answered twice"),
        ("pass", shaking_hands, "it has other tools: "),
        ("print('a log line', flush=True)", shaking_hands, "initialize was answered b'a log line'"),
        ('print(\'{"id": 0, "error": {}}\', flush=True)', shaking_hands, "initialize was answered b'.*error"),
    ],
)
def test_answers_that_nobody_asked_for_are_errors(
    lie: str, ask: Callable[[Server], None], message: str, tmp_path: Path
) -> None:
    """Examples are a second answer to a call and an unexpected handshake."""
    with (
        pytest.raises(BenchmarkError, match=f"^{message}"),
        started(echoing(lie), dict(os.environ), str(tmp_path / "log")) as server,
    ):
        ask(server)


def test_a_server_that_has_ended_before_it_is_asked_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    """Writing to the closed pipe must not hide the server's message."""
    command = [sys.executable, "-c", "raise SystemExit('no such option')"]
    with started(command, dict(os.environ), str(tmp_path / "log")) as server:
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(BenchmarkError, match=r"^the server ended after b'': no such option$"):
            server.shake_hands()


def test_a_client_tells_its_caller_what_was_wrong_in_one_line(inkbox: Inkbox, tmp_path: Path) -> None:
    """The caller is another process and sees only this line."""
    peer = Peer("refuser", "1", [sys.executable, "-c", "exit('no such option')"])
    message = r"-m benchmarks\.client failed: error: the server ended after b'': no such option$"
    with pytest.raises(BenchmarkError, match=message):
        client(peer, "first", inkbox, tmp_path)


def has(*programs: str) -> bool:
    """Return whether these programs are installed, also in the directories for administrators."""
    places = os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return all(shutil.which(program, path=places) for program in programs)


@pytest.mark.slow
@pytest.mark.skipif(not has("wrk", "nginx"), reason="needs the Debian packages wrk and nginx")
def test_wrk_counts_right_answers_and_stops_at_a_wrong_one(tmp_path: Path) -> None:
    """The error shows the wrong answer."""
    with inkbox_stub(tmp_path) as origin:
        target = ceiling_target(origin)
        measured = load(target, 4, 1)
        assert measured.calls_per_second > 0
        assert 0 < measured.p50 <= measured.p99
        with pytest.raises(BenchmarkError, match=r"^nginx, 4 clients: \d+ answers, \d+ wrong, 0 lost. 404 "):
            load(replace(target, path="/nowhere/%d/%s"), 4, 1)


@pytest.mark.slow
@pytest.mark.skipif(not has("nginx"), reason="needs the Debian package nginx")
def test_memory_is_that_of_the_sessions_that_were_opened(tmp_path: Path) -> None:
    """Those that were there before do not count, and each makes a call."""
    with inkbox_stub(tmp_path) as upstream, serving(ours(), "sessions", upstream, tmp_path) as service:
        seen = [100.0, 101.0]
        assert anyio.run(growth, service.origin, lambda: seen.pop(0), session, 4, 0.0) == 256
        assert seen == []
        with pytest.raises(ExceptionGroup) as failed:
            anyio.run(growth, service.origin, lambda: 0.0, tenant, 1, 0.0)
        assert failed.group_contains(BenchmarkError, match="this server uses its own")


@pytest.mark.slow
@pytest.mark.skipif(not has("nginx"), reason="needs the Debian package nginx")
def test_waits_are_measured_beside_as_many_requests_as_they_make(tmp_path: Path) -> None:
    """One mailbox is asked at the beginning, and after one second."""
    variables = {**environment("", tmp_path), "INKBOX_MCP_MAX_WAITS": "2"}
    with inkbox_stub(tmp_path) as upstream:
        variables["INKBOX_BASE_URL"] = upstream
        with started(ours().stdio[:1], variables, str(tmp_path / "log")) as server:
            server.shake_hands(all_tools=True)
            own, requests, alone = waits_side_by_side(server, upstream, 2, 1, 2)
            assert (own > 0, requests, alone > 0) == (True, 2, True)
            with pytest.raises(BenchmarkError, match=r"a wait was answered .*too_many_waits"):
                waits_side_by_side(server, upstream, 3, 1, 1)


PLAN = Plan(rounds=1, starts=1, first_results=1, seconds=1)


@pytest.mark.slow
@pytest.mark.skipif(not has("nginx"), reason="needs the Debian package nginx")
def test_a_comparison_names_the_server_that_fails(tmp_path: Path) -> None:
    """The error quotes the last line that the server wrote."""
    peers = [loop(), Peer("refuser", "1", [sys.executable, "-c", "exit('no such option')"])]
    with pytest.raises(BenchmarkError, match=r"^refuser: .*: no such option$"), ExitStack() as stack:
        Comparison(PLAN, peers, tmp_path, stack)


@pytest.mark.slow
@pytest.mark.skipif(not has("wrk", "nginx"), reason="needs the Debian packages wrk and nginx")
def test_a_whole_comparison_measures_what_every_goal_is_about(tmp_path: Path) -> None:
    """Servers that need no installation replace the others."""
    others = [replace(ours(), name="FastMCP"), replace(loop(), name="TypeScript")]
    peers = [ours(), mcpserver(), *others, loop()]
    with ExitStack() as stack:
        comparison = Comparison(PLAN, peers, tmp_path, stack)
        comparison.run()
    assert "calls/s from nginx" in report(comparison.samples)
    assert len(as_json(peers, comparison.samples)["goals"]) > 10
