"""How requests leave this machine: certificates, proxies, and the reuse of connections.

In HTTP/1.1, the next bytes on a connection answer the next request. So extra bytes after an answer would become the
answer to another request, perhaps another tenant's. HTTPX2's pool checks the socket before it reuses a connection, but
not what was already read from it. The classes here check both.
"""

import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpcore2
import httpx2

from inkbox_mcp.api.framing import is_one_answer
from inkbox_mcp.api.ip_addresses import why_not_public
from inkbox_mcp.api.pool import SECONDS_KEPT, Pool
from inkbox_mcp.errors import NotConfigured, NotFetched
from inkbox_mcp.text import one_line

_CHUNK = 1 << 24
"""Bytes of one read: more than any lower buffer holds, so that none of them keeps a rest."""
_SMALL = 1 << 15
"""Up to this many bytes of an answer, everything received fits into the TLS layer's buffer, which can be checked."""

_MOST_ADDRESSES = 4
"""Addresses of a host that are tried."""


def over_the_network(base_url: str, *, public: bool = False) -> Pool:
    """Open connections to an API, with the proxy and the certificates that the environment names.

    Args:
        base_url: of the API, or of another server.
        public: whether to connect to public addresses only. A proxy looks up names itself, so there it has no effect.

    Raises:
        NotConfigured: the environment names a proxy or certificates that cannot be used.
    """
    proxy = proxy_to(base_url)
    try:
        certificates = httpx2.create_ssl_context()
        return Pool(lambda: _one_connection(certificates, proxy, public=public))
    except ImportError:
        raise _bad_environment(
            "HTTPS_PROXY (or ALL_PROXY) names a SOCKS proxy, which needs the package socksio"
        ) from None
    except OSError as error:
        raise _bad_environment(f"the certificates that SSL_CERT_FILE names cannot be read ({_reason(error)})") from None


def _one_connection(
    certificates: ssl.SSLContext, proxy: httpx2.Proxy | None, *, public: bool
) -> httpx2.AsyncHTTPTransport:
    limits = httpx2.Limits(max_connections=1, keepalive_expiry=SECONDS_KEPT)
    transport = httpx2.AsyncHTTPTransport(certificates, limits=limits, proxy=proxy)
    # HTTPX2's transport has no argument for the network backend.
    pool = transport._pool  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    backend = pool._network_backend  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    watched = WatchedBackend(PublicBackend(backend) if public and not proxy else backend)
    pool._network_backend = watched  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return transport


def proxy_to(base_url: str) -> httpx2.Proxy | None:
    """Return the proxy for an API, if any.

    Reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case, or else the system's settings. This machine is
    never reached through a proxy: plain http to it is allowed only because nobody else sees it.

    Raises:
        NotConfigured: the value is not a proxy's URL.
    """
    url, proxies = urlsplit(base_url), getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    host = url.hostname or ""
    if not proxy or is_loopback(host):
        return None
    if any(map(proxy_bypass, {url.netloc, host})) or _is_within(host, proxies.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        _ = urlsplit(proxy).port  # raises ValueError for an invalid port
        return httpx2.Proxy(proxy)
    except (ValueError, httpx2.InvalidURL):  # not chained: it may quote the proxy's password
        raise _bad_environment(
            "HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY) is not the URL of a proxy, such as http://proxy.example:3128"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, a name below it (RFC 6761), or a loopback address."""
    name = host.lower().strip("[]").removesuffix(".")
    with suppress(ValueError):
        address = ip_address(name)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    return name == "localhost" or name.endswith(".localhost")


def _bad_environment(what: str) -> NotConfigured:
    return NotConfigured(f"{what}.").advised("Tell the user to fix that in inkbox-mcp's environment.")


def _is_within(host: str, no_proxy: str) -> bool:
    """Whether an address is in one of NO_PROXY's networks, such as 10.0.0.0/8; Python itself does not read these."""
    with suppress(ValueError):
        address = ip_address(host)
        return any(address in ip_network(name.strip(), strict=False) for name in no_proxy.split(",") if "/" in name)
    return False


def _reason(error: Exception) -> str:
    return one_line(str(error))[:200] or type(error).__name__


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Looks up the IP addresses of a host, best first."""


async def resolved(host: str, port: int) -> list[str]:
    """Look up the IP addresses of a host, best first.

    Raises:
        OSError: it has none.
    """
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class PublicBackend(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only.

    It connects to the very address that it looked at, so a name that leads elsewhere a moment later (DNS rebinding)
    gains nothing.
    """

    def __init__(self, backend: httpcore2.AsyncNetworkBackend, resolve: Resolve = resolved) -> None:
        self._backend = backend
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the host's addresses; see httpcore2.

        Raises:
            NotFetched: one of the host's addresses is not public.
            httpcore2.ConnectError: no connection.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("the host has no address") from None
        if not all(map(_is_public, addresses)):
            raise NotFetched("its host is not on the public internet")
        failure: Exception = httpcore2.ConnectError("the host has no address")
        for address in addresses[:_MOST_ADDRESSES]:
            part = timeout and timeout / min(len(addresses), _MOST_ADDRESSES)
            try:
                return await self._backend.connect_tcp(address, port, part, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def _is_public(address: str) -> bool:
    try:
        return why_not_public(ip_address(address)) is None
    except ValueError:  # such as an IPv6 address with a zone
        return False


class WatchedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections that detect extra bytes after an answer."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; see httpcore2.

        Raises:
            httpcore2.ConnectError: no connection, or `localhost` resolved to another machine.
        """
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        if is_loopback(host) and not is_loopback(str(stream.get_extra_info("server_addr")[0])):
            await stream.aclose()
            raise httpcore2.ConnectError(f"{host} is not this machine")
        return _Stream(stream)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that is reused only if the last answer ended with the last byte received."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._tls: ssl.SSLObject | None = stream.get_extra_info("ssl_object")
        self._socket: socket.socket | None = stream.get_extra_info("socket")
        self._answer: list[bytes] = []  # only until its end was checked, because it may be large
        self._received = 0
        self._is_whole: bool | None = None
        self._is_sending = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore2's own
        """Read; see httpcore2."""
        self._is_sending = False
        data = await self._stream.read(max(max_bytes, _CHUNK), timeout)
        self._received += len(data)
        if self._is_whole is None:
            self._answer.append(data)
        else:  # after its end
            self._is_whole = False
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore2's own
        """Write a part of a request.

        Raises:
            httpcore2.ConnectError: bytes arrived before the request; nothing was sent.
        """
        if not self._is_sending:
            if await self._has_unread():
                raise httpcore2.ConnectError("the connection held bytes that no request had asked for")
            self._answer.clear()
            self._received = 0
            self._is_whole = None
            self._is_sending = True
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's own
    ) -> httpcore2.AsyncNetworkStream:
        """Encrypt the connection; see httpcore2."""
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Report a connection with extra bytes as readable, so that the pool closes it."""
        if info != "is_readable":
            return self._stream.get_extra_info(info)
        if self._is_whole is None:
            self._is_whole = is_one_answer(b"".join(self._answer))
            self._answer.clear()
        return not self._is_whole or self._is_readable()

    def _is_readable(self) -> bool:
        """Whether bytes or an end are in the socket. HTTPX2 asks twice for a request."""
        fd = self._socket.fileno() if self._socket else -1
        if fd < 0 or not hasattr(select, "poll"):  # closed, or on Windows
            return bool(self._stream.get_extra_info("is_readable"))
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    async def _has_unread(self) -> bool:
        """Whether unread bytes are in the socket or in a buffer above it."""
        # A new TLS connection is readable after its handshake: the server sent session tickets.
        if (self._received or not self._tls) and self._is_readable():
            return True
        if self._tls:
            try:
                self._tls.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return True
            else:
                return True
        if self._received < _SMALL:
            return False
        with suppress(httpcore2.ReadTimeout):
            await self._stream.read(1, timeout=0.001)
            return True
        return False
