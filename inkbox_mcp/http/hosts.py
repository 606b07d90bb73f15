"""Which `Host` and `Origin` headers are taken, against web pages that reach a server by DNS rebinding.

A page whose name was made to point here sends that name as `Host`, a page of another site sends its own as `Origin`. It
is asked for every path, before anything is routed: `/metrics` tells something, too.
"""

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.settings.options import Settings
from inkbox_mcp.settings.values import HOST_AND_PORT

logger = logging.getLogger(__name__)

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_AUTHORITY = re.compile(HOST_AND_PORT)


@dataclass(frozen=True)
class Authority:
    """A host and a port, such as `mcp.example.com:8443`.

    Attributes:
        host: in lower case, without the dot that may end it.
        port: empty if none is named; `*` among the allowed ones is the same.
    """

    host: str
    port: str = ""

    @classmethod
    def parse(cls, text: str) -> "Authority | None":
        """Read it; None where it is anything else, such as an address with a user's name in it."""
        if not (found := _AUTHORITY.fullmatch(text.lower())):
            return None
        host, port = found.groups(default="")
        return cls(host.removesuffix("."), "" if port == "*" else port)

    def is_one_of(self, allowed: Collection["Authority"]) -> bool:
        """Whether it is allowed: a host without a port is allowed on all ports."""
        return self in allowed or Authority(self.host) in allowed


class Hosts:
    """ASGI middleware that refuses requests for other hosts (421) and from pages of other origins (403).

    Args:
        app: what is guarded.
        settings: a server on loopback takes its own names, and those that are allowed; beyond loopback all are taken
            unless some are allowed.
        open_paths: asked by probes, which beyond loopback name a server by its address, and anywhere may speak HTTP/1.0
            and name none, as no browser does.
    """

    def __init__(self, app: ASGIApp, settings: Settings, open_paths: Sequence[str] = ()) -> None:
        own = LOOPBACK_NAMES if settings.is_local else ()
        self._app = app
        self._is_on = bool(own or settings.allowed_hosts)
        self._hosts = _authorities([*own, *settings.allowed_hosts])
        self._origins = {
            (scheme, authority)
            for origin in [*(f"http://{name}" for name in own), *settings.allowed_origins]
            for scheme, _, rest in [origin.partition("://")]
            for authority in _authorities([rest])
        }
        self._is_local = settings.is_local
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        refusal = self._refusal(scope) if self._is_on and scope["type"] != "lifespan" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if scope["path"] in self._open and not (hosts and self._is_local):
            return None
        # With two of them a proxy in front might go by the one, and this server by the other.
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            logger.warning("Invalid Host header: a request for another host was refused")
            return PlainTextResponse("Invalid Host header", 421)
        if len(origins) > 1 or not all(self._may_call(origin.decode("latin-1")) for origin in origins):
            logger.warning("Invalid Origin header: a request of a page of another origin was refused")
            return PlainTextResponse("Invalid Origin header", 403)
        return None

    def _is_ours(self, host: str) -> bool:
        authority = Authority.parse(host)
        return authority is not None and authority.is_one_of(self._hosts)

    def _may_call(self, origin: str) -> bool:
        scheme, _, rest = origin.lower().partition("://")
        authority = Authority.parse(rest)
        return authority is not None and authority.is_one_of(
            [allowed for allowed_scheme, allowed in self._origins if allowed_scheme == scheme]
        )


def _authorities(texts: Sequence[str]) -> frozenset[Authority]:
    return frozenset(authority for text in texts if (authority := Authority.parse(text)))
