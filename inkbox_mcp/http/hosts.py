"""Checks `Host` and `Origin` headers, against web pages that reach the server by DNS rebinding.

A page whose name was made to point to this machine sends that name as `Host`; a page of another site sends its own name
as `Origin`. All paths are checked, because `/metrics` reveals something too.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from starlette.responses import PlainTextResponse, Response
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
        port: empty for none; `*` in an allowed one means the same.
    """

    host: str
    port: str = ""

    @classmethod
    def parse(cls, text: str) -> "Authority | None":
        """Parse it; return None for anything else, such as a text with a user name."""
        if not (found := _AUTHORITY.fullmatch(text.lower())):
            return None
        host, port = found.groups(default="")
        return cls(host.removesuffix("."), "" if port == "*" else port)

    def is_one_of(self, allowed: Collection["Authority"]) -> bool:
        """Whether it is allowed. An allowed host without a port is allowed on all ports."""
        return self in allowed or Authority(self.host) in allowed


class Hosts:
    """ASGI middleware that refuses requests for other hosts (421) and from pages of other origins (403).

    Args:
        app: the guarded application.
        settings: on loopback, accepts loopback names and the allowed ones. Beyond loopback, accepts all names, or only
            the allowed ones if there are any.
        open_paths: used by probes, which beyond loopback send the server's address as `Host`, or with HTTP/1.0 none at
            all, as no browser does.
        refuse: makes an answer of a reason and a status.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        open_paths: Sequence[str] = (),
        refuse: Callable[[str, int], Response] = PlainTextResponse,
    ) -> None:
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
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        refusal = self._refusal(scope) if self._is_on and scope["type"] != "lifespan" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if scope["path"] in self._open and not (hosts and self._is_local):
            return None
        # With two headers, a proxy in front might use one, and this server the other.
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            logger.warning("Invalid Host header: a request for another host was refused")
            return self._refuse("Invalid Host header", 421)
        if len(origins) > 1 or not all(self._may_call(origin.decode("latin-1")) for origin in origins):
            logger.warning("Invalid Origin header: a request of a page of another origin was refused")
            return self._refuse("Invalid Origin header", 403)
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
