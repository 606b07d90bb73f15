"""Proxies between this server and Inkbox, which environment variables configure."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpcore2
import pytest
from anyio.abc import SocketStream

from inkbox_mcp.api.network import WatchedBackend, proxy_to
from tests.support.agents import KEY, connect, text

pytestmark = pytest.mark.usefixtures("no_proxies")

API = "https://inkbox.example"


@pytest.mark.parametrize(
    ("base_url", "environment", "proxy"),
    [
        (API, {}, None),
        (API, {"HTTPS_PROXY": "http://proxy.example:3128"}, ("http://proxy.example:3128", None)),
        (API, {"https_proxy": "http://proxy.example:3128"}, ("http://proxy.example:3128", None)),
        (API, {"HTTPS_PROXY": "proxy.example:3128"}, ("http://proxy.example:3128", None)),
        (API, {"HTTPS_PROXY": "http://me:secret@proxy.example"}, ("http://proxy.example", ("me", "secret"))),
        (API, {"ALL_PROXY": "http://proxy.example"}, ("http://proxy.example", None)),
        (API, {"HTTPS_PROXY": "http://one.example", "ALL_PROXY": "http://all.example"}, ("http://one.example", None)),
        (API, {"HTTP_PROXY": "http://proxy.example"}, None),
        ("http://inkbox.example", {"HTTP_PROXY": "http://proxy.example"}, ("http://proxy.example", None)),
        (API, {"HTTPS_PROXY": ""}, None),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "other.example"}, ("http://proxy.example", None)),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "box.example"}, ("http://proxy.example", None)),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "*"}, None),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "other.example, inkbox.example"}, None),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": ".example"}, None),
        (API, {"ALL_PROXY": "http://proxy.example", "no_proxy": "INKBOX.EXAMPLE"}, None),
        (API + ":8443", {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "inkbox.example:8443"}, None),
        (
            API,
            {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "inkbox.example:8443"},
            ("http://proxy.example", None),
        ),
        ("http://127.0.0.1:8080", {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "127.0.0.1"}, None),
        ("http://127.0.0.1:8080", {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "x, 127.0.0.0/8"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "10.0.0.0/8"}, None),
        (
            "https://11.1.2.3",
            {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "10.0.0.0/8"},
            ("http://proxy.example", None),
        ),
        (API, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "10.0.0.0/8"}, ("http://proxy.example", None)),
        ("http://[::1]:8080", {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "::1"}, None),
        ("http://127.0.0.1:8080", {"HTTP_PROXY": "http://proxy.example"}, None),
        ("http://localhost:8080", {"ALL_PROXY": "socks5://proxy.example"}, None),
        ("http://LOCALHOST.", {"HTTP_PROXY": "http://proxy.example"}, None),
        ("https://localhost", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://[::1]", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://127.1.2.3", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://[::ffff:127.0.0.1]", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://api.localhost", {"HTTPS_PROXY": "http://proxy.example"}, None),
        ("https://localhost.example", {"HTTPS_PROXY": "http://proxy.example"}, ("http://proxy.example", None)),
    ],
    ids=str,
)
def test_the_environment_says_which_proxy_leads_to_the_api(
    base_url: str, environment: dict[str, str], proxy: tuple[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables mean the same as for curl and Python."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_to(base_url)
    assert (found and (str(found.url), found.auth)) == proxy


@asynccontextmanager
async def proxy_that_answers(answer: bytes) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """Run a proxy that answers each request itself; yield its port and the request heads that it received."""
    heads: list[bytes] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            heads.append(await stream.receive())
            await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield listener.extra(anyio.abc.SocketAttribute.local_port), heads
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_what_is_on_this_machine_is_never_reached_through_a_proxy(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is safe only on this machine; a proxy would see the key unencrypted."""
    async with proxy_that_answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as (port, heads):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        async with connect(f"http://{host}:1") as agent:
            result = await agent.call("list_mailboxes")
    assert (result.meta or {})["code"] == "unreachable"
    assert heads == []


async def test_a_localhost_that_is_another_machine_gets_nothing() -> None:
    """Plain http is for this machine only, even if the resolver maps `localhost` to another address."""

    class Resolver(httpcore2.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
            return Elsewhere([])

    class Elsewhere(httpcore2.AsyncMockStream):
        def get_extra_info(self, info: str) -> Any:
            return ("203.0.113.7", 80) if info == "server_addr" else None

    with pytest.raises(httpcore2.ConnectError, match="is not this machine"):
        await WatchedBackend(Resolver()).connect_tcp("localhost", 80)
    await WatchedBackend(Resolver()).connect_tcp("inkbox.example", 80)


async def test_a_proxy_sees_nothing_of_what_goes_to_an_https_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server asks the proxy for a tunnel; a refusal means that nothing was sent, so a change may be repeated."""
    async with proxy_that_answers(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        async with connect(API, timeout=2) as agent:
            results = [
                await agent.call("list_mailboxes"),
                await agent.call("create_mailbox", agent_handle="sales-agent"),
            ]
    for result in results:
        assert result.is_error
        assert (result.meta or {})["code"] == "unreachable"
        assert "could not connect to Inkbox (403 Forbidden)" in text(result)
    assert heads
    for head in heads:
        assert head.startswith(b"CONNECT inkbox.example:443 HTTP/1.1\r\n")
        assert b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n" in head
        assert KEY.encode() not in head


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        (
            "HTTPS_PROXY",
            "ftp://me:secret@proxy.example",
            "HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) is not the URL of a proxy",
        ),
        (
            "HTTPS_PROXY",
            "http://proxy.example:secret",
            "HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) is not the URL of a proxy",
        ),
        ("ALL_PROXY", "socks5://me:secret@proxy.example", "a SOCKS proxy, which needs the package socksio"),
        ("SSL_CERT_FILE", "/no/such/file", "the certificates that SSL_CERT_FILE names cannot be read"),
    ],
)
async def test_an_environment_that_leads_nowhere_is_explained(
    variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call reports the wrong variable without showing the proxy's password."""
    monkeypatch.setenv(variable, value)
    async with connect(API, timeout=2) as agent:
        result = await agent.call("list_mailboxes")
    (meta, told) = (result.meta or {}, text(result))
    assert (meta["code"], meta["retryable"]) == ("not_configured", False)
    assert reason in told
    assert "secret" not in told
