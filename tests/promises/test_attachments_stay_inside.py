"""Attachments of strangers: saved in one folder only, fetched without the key, and never from private networks."""

import asyncio
import gzip
import logging
import re
import tempfile
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkbox_mcp.api.downloads import MAX_FILE_BYTES, Downloads, Fetched
from inkbox_mcp.api.network import PublicBackend
from inkbox_mcp.calls import begin
from inkbox_mcp.characters import hidden_characters
from inkbox_mcp.cli import main
from inkbox_mcp.errors import InkboxError, NotFetched, TooLarge, UnexpectedResponse, Unreachable
from inkbox_mcp.telemetry.metrics import Metrics, PrometheusMetrics
from inkbox_mcp.toolkit.file_names import MAX_BYTES, safe_name
from inkbox_mcp.toolkit.files import save
from tests.support.agents import KEY, AsyncHandler, Handler, connect
from tests.support.meanwhile import meanwhile
from tests.support.metrics import samples

MESSAGE = "123e4567-e89b-42d3-a456-426614174000"
GIVEN = {"email_address": "alice@inkboxmail.com", "message_id": MESSAGE, "filename": "a.txt"}
SIGNATURE = "Zm9yLW5vYm9keS1lbHNl"
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³")}

pieces = st.sampled_from(
    ["../", "..\\", "/", "\\", "C:", "\0", "\n", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", ".", "..", " ",
     "CON", "nul", "com1", "lpt¹", "a", "é", "e\u0301", "ﬁ", "Å", "\u212b", ".exe", ".txt", ":", "*", "~", "-", "%2e",
     "\ud800", "desktop.ini", "家", "\u0338", "x" * 200, "é" * 100, "\u037e"]
)  # fmt: skip
names = st.one_of(st.text(max_size=300), st.lists(pieces, max_size=12).map("".join))


@given(names)
@example("a/" * 5000)
@example("x" * 10_000 + ".pdf")
@example("\u202e" * 10_000)
@example("a\u0301" * 5000 + "." + "\u0301" * 5000)
@example("con" + "\u200b" * 300 + ".txt")
def test_a_hostile_name_becomes_one_plain_name(name: str) -> None:
    """One part of a path, short, with nothing hidden, and with no meaning for any system."""
    safe = safe_name(name)
    assert safe == safe_name(safe)
    assert safe == Path(safe).name == unicodedata.normalize("NFC", safe)
    assert not re.search(r'[/\\:*?"<>|\x00-\x1f\x7f]', safe)
    assert not hidden_characters(safe)
    assert safe.isprintable()
    assert 0 < len(safe.encode()) <= MAX_BYTES
    assert safe[0] not in ". -~"
    assert safe[-1] not in ". "
    assert safe.partition(".")[0].rstrip().upper() not in DEVICES


@given(st.lists(names, min_size=1, max_size=5))
@example(["a.pdf", "A.PDF", "a.pdf"])
@example(["é.pdf", "e\u0301.pdf", "É.pdf"])
@example(["../a", "..\\a", "/a"])
def test_nothing_outside_the_folder_is_made_or_changed(hostile: list[str]) -> None:
    """Whatever the names are, each file lies directly in the folder, whole, and none replaces another."""
    with tempfile.TemporaryDirectory() as made:
        outer = Path(made).resolve()
        (outer / "secret").write_text("mine")
        folder = outer / "in" / "attachments"
        folder.mkdir(parents=True)
        places = [save(folder, name, f"{number}".encode()) for number, name in enumerate(hostile)]
        assert {place.parent for place in places} == {folder}
        assert [place.read_bytes() for place in places] == [f"{number}".encode() for number in range(len(hostile))]
        assert {*folder.iterdir()} == {*places}
        assert {*outer.rglob("*")} - {*places} == {outer / "secret", outer / "in", folder}
        assert (outer / "secret").read_text() == "mine"


@pytest.mark.posix
def test_a_folder_that_flips_to_a_link_lets_nothing_out(tmp_path: Path) -> None:
    """While files are saved, another program replaces the folder by a link, again and again."""
    folder, aside, outside = tmp_path / "in", tmp_path / "aside", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()

    def flip() -> None:
        folder.rename(aside)
        folder.symlink_to(outside)
        folder.unlink()
        aside.rename(folder)

    saved, refused = 0, 0
    with meanwhile(flip):
        for number in range(100_000):
            try:
                save(folder, f"{number}.txt", b"content")
                saved += 1
            except InkboxError:
                refused += 1
            if saved > 10 and refused > 10:
                break
    assert refused
    assert [*outside.iterdir()] == []
    assert len([*folder.iterdir()]) == saved


def signing(url: str, requests: list[httpx2.Request], file: Handler | None = None) -> Handler:
    """Return an Inkbox that names a URL for every attachment, and answers other requests by `file`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        if request.url.path.startswith("/api/"):
            return httpx2.Response(200, json={"url": url, "filename": "a.txt", "expires_in": 60})
        assert file, "nothing else is asked for"
        return file(request)

    return answer


HOSTILE = [
    "http://files.example.com/f",
    "ftp://files.example.com/f",
    "file:///etc/passwd",
    "data:text/plain,hello",
    "//files.example.com/f",
    "/f",
    "",
    "not a url",
    "https://",
    "https:///f",
    "https://user@files.example.com/f",
    "https://user:password@inkbox.ai/f",
    "https://inkbox.ai@127.0.0.1/f",
    "https://files.example.com\\@127.0.0.1/f",
    "https://files.example.com/a b",
    "https://files.example.com/\r\nHost: x",
    "https://127.0.0.1/f",
    "https://127.1/f",
    "https://2130706433/f",
    "https://0x7f.0.0.1/f",
    "https://0/f",
    "https://[::1]/f",
    "https://[::ffff:10.0.0.1]/f",
    "https://[fe80::1%25eth0]/f",
    "https://10.0.0.1/f",
    "https://192.168.1.1:8443/f",
    "https://169.254.169.254/latest/meta-data/",
    "https://metadata.google.internal/f",
    "https://localhost/f",
    "https://localhost./f",
    "https://db.internal/f",
    "https://printer/f",
    "https://127.0.0.1.nip.io/f",
    "https://\uff11\uff12\uff17.0.0.1/f",
    "https://inkbox.ai:99999/f",
    "https://inkbox.ai:0/f",
    "https://files.example.com:x/f",
    "http://inkbox.ai/f",
    "http://sandbox/f",
    "https://xn--/f",
    f"https://10.0.0.1/{'x' * 10_000}",
]


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: ascii(url)[:60])
async def test_a_hostile_url_is_not_opened(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent there, and the URL is shown nowhere."""
    caplog.set_level(logging.DEBUG)
    requests: list[httpx2.Request] = []
    signed = f"{url}?signature={SIGNATURE}" if url else ""
    async with connect(signing(signed, requests)) as agent:
        result = await agent.call("get_attachment", **GIVEN)
    assert result.is_error
    assert len(requests) == 1
    shown = f"{result!r} {caplog.text}"
    assert "sent a URL of the file" in shown
    assert SIGNATURE not in shown
    assert len(url) < len("https://") or url not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_this_machine_gets_no_connection(host: str) -> None:
    """Not even one that is closed at once."""
    connections: list[object] = []

    def connected(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connections.append(reader)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connect(signing(f"https://{host}:{port}/f", [])) as agent:
        assert "not on the public internet" in await agent.refused("get_attachment", **GIVEN)
    assert connections == []


async def test_a_loopback_api_may_name_urls_of_its_own_only() -> None:
    """The sandbox over HTTP: its own origin is fetched, without the key; another port of this machine is not."""
    heads: list[str] = []
    urls: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        body = b"hello" if head.startswith("GET /file") else b'{"url": "%s"}' % urls[-1].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, connect(origin) as agent:
        urls.append(f"{origin}/file?signature={SIGNATURE}")
        assert "hello" in (await agent.ask("get_attachment", **GIVEN))["text"]
        for other in ("http://127.0.0.1:9", origin.replace("127.0.0.1", "localhost"), origin.replace("http", "https")):
            urls.append(f"{other}/file")
            assert "sent a URL of the file" in await agent.refused("get_attachment", **GIVEN)
    assert [head.split("/")[1] for head in heads] == ["api", f"file?signature={SIGNATURE} HTTP", "api", "api", "api"]
    assert [KEY in head for head in heads] == [True, False, True, True, True]


class Network(httpcore2.AsyncNetworkBackend):
    """Records where connections would go; all fail, but the ones to `reachable`."""

    def __init__(self, *reachable: str) -> None:
        self.reachable = reachable
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        self.tried.append(host)
        if host in self.reachable:
            return httpcore2.AsyncMockStream([])
        raise httpcore2.ConnectError("nobody there")


def names_for(*answers: Iterable[str]) -> Callable[[str, int], Any]:
    """Return a resolver whose answers change from one question to the next."""
    left = [list(each) for each in answers]

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0)

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["10.0.0.1"], ["169.254.169.254"], ["fd00::1"], ["::ffff:192.168.0.1"], ["fe80::1%eth0"],
     ["93.184.216.34", "10.0.0.1"], ["64:ff9b::a00:1"], ["100.64.0.1"], ["0.0.0.0"]],
    ids=str,
)  # fmt: skip
async def test_a_public_name_for_a_private_address_is_not_connected(addresses: list[str]) -> None:
    """One private address among public ones is enough."""
    network = Network(*addresses)
    with pytest.raises(NotFetched, match="not on the public internet"):
        await PublicBackend(network, names_for(addresses)).connect_tcp("files.example.com", 443)
    assert network.tried == []


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_used() -> None:
    """A name that leads elsewhere a moment later (DNS rebinding) gains nothing."""
    network = Network("93.184.216.34")
    backend = PublicBackend(network, names_for(["2606:4700::1", "93.184.216.34"], ["127.0.0.1"]))
    await backend.connect_tcp("files.example.com", 443, 5)
    assert network.tried == ["2606:4700::1", "93.184.216.34"]
    with pytest.raises(NotFetched):
        await backend.connect_tcp("files.example.com", 443, 5)
    with pytest.raises(httpcore2.ConnectError):
        await PublicBackend(Network(), names_for([])).connect_tcp("files.example.com", 443, 5)


FILE = f"https://files.example.com/f?s={SIGNATURE}"


async def fetched(answer: Handler | AsyncHandler, seconds: float = 30) -> Fetched:
    """Fetch a file from storage that answers by a function."""

    def no_api() -> httpx2.AsyncBaseTransport:
        raise AssertionError

    downloads = Downloads("https://inkbox.ai", no_api, Metrics(), lambda _: httpx2.MockTransport(answer))
    with begin(seconds) as call:
        return await downloads.fetch(call, FILE, 1)


async def test_the_storage_gets_neither_the_key_nor_anything_about_the_call() -> None:
    """Only what every client says."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, content=b"hello", headers={"Content-Type": "text/plain"})

    assert await fetched(answer) == (b"hello", "text/plain")
    (request,) = requests
    assert {*request.headers} == {"host", "user-agent", "accept", "accept-encoding"}


@pytest.mark.parametrize("path", ["/f", "/api/v1/../../f"])
async def test_the_key_is_not_sent_with_a_file_even_to_the_api_itself(path: str) -> None:
    """A URL on the API's own origin is fetched like any other."""
    requests: list[httpx2.Request] = []

    def file(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=b"hello", headers={"Content-Type": "text/plain", "Set-Cookie": "a=b"})

    async with connect(signing(f"https://inkbox.ai{path}?signature={SIGNATURE}", requests, file)) as agent:
        result = await agent.call("get_attachment", **GIVEN)
    assert not result.is_error
    assert SIGNATURE not in repr(result)
    asked, got = requests
    assert asked.headers["X-API-Key"] == KEY
    assert KEY not in repr((got.url, got.headers.raw))
    assert {"x-api-key", "cookie", "x-request-id", "traceparent"}.isdisjoint(got.headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304, 201, 204, 206, 400, 403, 404, 410, 500, 502, 503])
async def test_only_a_whole_file_is_an_answer(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Redirects are not followed; the words of a storage are not repeated."""
    caplog.set_level(logging.DEBUG)
    requests: list[httpx2.Request] = []
    headers = {"Location": f"http://169.254.169.254/{SIGNATURE}"}
    answer = httpx2.Response(status, content=f"<Error>{SIGNATURE} obey</Error>".encode(), headers=headers)
    async with connect(signing(f"https://inkbox.ai/f?s={SIGNATURE}", requests, lambda _: answer)) as agent:
        message = await agent.refused("get_attachment", **GIVEN)
    assert str(status) in message
    assert SIGNATURE not in message + caplog.text
    assert {request.url.host for request in requests} == {"inkbox.ai"}
    assert len(requests) <= 1 + (3 if status >= 500 else 1)


@asynccontextmanager
async def counted(chunk: bytes, times: int) -> AsyncGenerator[tuple[AsyncIterator[bytes], list[int]]]:
    """Return a long body, and how many of its chunks were taken."""
    taken = [0]

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(times):
            taken[0] += 1
            yield chunk

    yield chunks(), taken


async def test_ten_gigabytes_end_at_the_limit() -> None:
    """With a Content-Length nothing is read; without one, up to the limit."""
    async with counted(bytes(1 << 20), 10_000) as (body, taken):
        with pytest.raises(TooLarge, match="26 MB"):
            await fetched(lambda _: httpx2.Response(200, content=body, headers={"Content-Length": str(10**10)}))
        assert taken == [0]
    async with counted(bytes(1 << 20), 10_000) as (body, taken):
        with pytest.raises(TooLarge, match="26 MB"):
            await fetched(lambda _: httpx2.Response(200, content=body))
        assert taken == [27]
    assert len((await fetched(lambda _: httpx2.Response(200, content=bytes(MAX_FILE_BYTES)))).content) == MAX_FILE_BYTES


async def test_a_bomb_is_not_unpacked() -> None:
    """Neither one that fits on the way, nor one that is packed twice."""
    bomb = gzip.compress(bytes(MAX_FILE_BYTES + 1))
    small = gzip.compress(b"hello")
    body = httpx2.Response(200, stream=httpx2.ByteStream(bomb), headers={"Content-Encoding": "gzip"})
    with pytest.raises(TooLarge):
        await fetched(lambda _: body)
    body = httpx2.Response(200, stream=httpx2.ByteStream(small), headers={"Content-Encoding": "gzip"})
    assert (await fetched(lambda _: body)).content == b"hello"
    for packed, how in ((small, "gzip, gzip"), (small, "br"), (small[:-4], "gzip"), (small + b"x", "gzip")):
        body = httpx2.Response(200, stream=httpx2.ByteStream(packed), headers={"Content-Encoding": how})
        with pytest.raises(UnexpectedResponse, match="packed"):
            await fetched(lambda _, body=body: body)


async def test_a_slow_storage_ends_with_the_call() -> None:
    """Whether it stalls before the answer, in the middle of it, or sends a byte now and then."""

    async def never(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def drops() -> AsyncGenerator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    def dripping(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=drops())

    for answer in (never, dripping):
        with pytest.raises(Unreachable, match="did not come within"):
            await fetched(answer, seconds=0.2)


@pytest.mark.parametrize(
    "error",
    [httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ProxyError, OSError],
)
async def test_an_error_does_not_repeat_the_url(error: type[Exception]) -> None:
    """Libraries put it into their messages."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error(f"failed: {request.url}")

    with pytest.raises(Unreachable) as failed:
        await fetched(answer)
    assert SIGNATURE not in str(failed.value)
    assert failed.value.__cause__ is None


async def test_metrics_do_not_show_the_url() -> None:
    """A file is counted under one name."""
    metrics = PrometheusMetrics()
    answer = signing(f"https://inkbox.ai/{SIGNATURE}", [], lambda _: httpx2.Response(200, text="hello"))
    async with connect(answer, counted_in=metrics) as agent:
        await agent.ask("get_attachment", **GIVEN)
    found = samples(metrics)
    assert found["inkbox_mcp_upstream_request_duration_seconds_count GET signed URL 200"] == 1
    assert SIGNATURE not in repr(found)


def test_over_http_no_folder_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server for others reads and writes nothing on its disk."""
    assert main(["--http", "--sandbox", "--attachments-dir", str(tmp_path)]) == 2
    assert "--attachments-dir: not with --http" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["gone", "file", "", "a\0b"])
def test_a_folder_that_is_none_stops_the_start(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not made: a misspelt one would fill up where nobody looks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["--sandbox", "--attachments-dir", folder]) == 2
    assert "--attachments-dir: must be" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
