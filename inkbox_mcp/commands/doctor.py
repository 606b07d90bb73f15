"""`inkbox-mcp doctor`: checks a set-up, or with `--client` that of an MCP client, and says how to fix it."""

import logging
import os
import platform
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import cast
from urllib.parse import urlsplit

import anyio

from inkbox_mcp import __version__
from inkbox_mcp.access.tenants import Tenants
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.api.network import over_the_network, proxy_to
from inkbox_mcp.api.paths import WHOAMI
from inkbox_mcp.calls import begin
from inkbox_mcp.catalogue import Catalogues
from inkbox_mcp.commands.checks import Check, as_json, as_text
from inkbox_mcp.commands.client_files import TITLES, Machine
from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.errors import (
    Forbidden,
    InkboxError,
    NotFound,
    ServerError,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from inkbox_mcp.settings.credentials import not_a_key
from inkbox_mcp.settings.options import Settings, SettingsError, options
from inkbox_mcp.settings.sources import check as load_checked
from inkbox_mcp.settings.sources import gather
from inkbox_mcp.tools.account import KeyHolder

SECONDS = 10.0


def run(arguments: Sequence[str]) -> int:
    """Run the command `doctor` and return its exit status."""
    parser = server_parser("doctor", "Check everything between this command and a working tool.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--client", choices=[*TITLES], help="check the entry in the configuration of Claude Desktop, or of Cursor"
    )
    chosen = parser.choose(arguments)
    write = as_json if chosen.pop("json", False) else as_text
    if client := chosen.pop("client", None):
        if chosen:
            raise SettingsError("--client: checks the options of the client's entry, so it takes none beside it")
        from inkbox_mcp.commands.clients import examine_client  # it loads a client, which other checks do not need

        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what goes wrong is in the checks
        checks = anyio.run(examine_client, client, Machine.here())
    else:
        sources = gather(chosen, os.environ)
        settings = load_checked(sources)
        checks = anyio.run(examine, settings, sources.places(settings), sources.unused(settings))
    show(write(checks))
    return 0 if all(check.ok for check in checks) else 1


async def examine(settings: Settings, sources: dict[str, str], unused: Sequence[str] = ()) -> list[Check]:
    """Check everything between this command and a working tool.

    Args:
        settings: the checked options.
        sources: the place of each option that is set.
        unused: places of settings without effect.
    """
    checks = [_versions(), _options(settings, sources)]
    if unused:
        checks.append(Check("ignored", True, ", ".join(unused)))
    if not settings.sandbox:
        checks += [_key(settings), *await _network(settings.base_url)]
    generation = settings.generation
    if all(check.ok for check in checks) and not settings.per_request_keys:
        async with Tenants(settings) as tenants:
            checks += await _account(tenants.api(), settings)
            generation = tenants.api().known.value or generation
    return [*checks, _tools(settings, generation)]


def _versions() -> Check:
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx2", "pydantic"))
    return Check("versions", True, f"inkbox-mcp {__version__}, Python {platform.python_version()}, {packages}")


def _options(settings: Settings, sources: dict[str, str]) -> Check:
    lines = [
        f"{option.name} = {_shown(getattr(settings, option.name))}  ({sources[option.name]})"
        for option in options()
        if option.name in sources
    ]
    return Check("options", True, "\n".join(lines) or "defaults")


def _shown(value: object) -> str:
    """Format a value; of a key, show only enough to distinguish it from others."""
    secret = getattr(value, "get_secret_value", None)
    if not secret:
        return ", ".join(map(_shown, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
    # Anything else may be another secret, so nothing of it is shown.
    return f"{secret()[:11]}…" if re.match(r"ApiKey_[0-9a-f]{8}-[0-9a-f-]{27}\.", secret()) else "…"


def _key(settings: Settings) -> Check:
    if settings.per_request_keys:
        return Check("key", True, "each request has its own")
    fix = "create a key in the Inkbox console and set it as INKBOX_API_KEY, or as api_key in ~/.inkbox/config"
    if settings.api_key is None:
        return Check("key", False, "not set", fix)
    if problem := not_a_key(settings.api_key.get_secret_value()):
        return Check("key", False, f"what was set is no key: {problem}", fix)
    if not settings.api_key.get_secret_value().startswith("ApiKey_"):
        return Check("key", False, "set, but does not begin with ApiKey_", fix)
    return Check("key", True, _shown(settings.api_key))


async def _network(base_url: str) -> list[Check]:
    """Check DNS, TCP and TLS one after the other, each with its time. Behind a proxy they cannot be checked."""
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    try:
        await over_the_network(base_url).aclose()
        if proxy := proxy_to(base_url):
            return [Check("network", True, f"through the proxy {proxy.url.host}")]
    except InkboxError as error:
        return [Check("network", False, str(error), "fix that in inkbox-mcp's environment")]
    steps: list[tuple[str, Callable[[], Awaitable[str]], str]] = [
        ("DNS", lambda: _resolve(host), f"check the spelling of {host} and this machine's network"),
        ("TCP", lambda: _connect(host, port), f"a firewall may block port {port}; set HTTPS_PROXY to use a proxy"),
    ]
    if url.scheme == "https":
        fix = (
            "check this machine's clock and certificates; a proxy that inspects TLS needs its certificate installed, "
            "or named by SSL_CERT_FILE"
        )
        steps.append(("TLS", lambda: _handshake(host, port), fix))
    checks: list[Check] = []
    for name, step, fix in steps:
        started = time.perf_counter()
        try:
            with anyio.fail_after(SECONDS):
                found = await step()
        except (OSError, TimeoutError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            return [*checks, Check(name, False, str(error) or type(error).__name__, fix)]
        checks.append(Check(name, True, f"{found} in {(time.perf_counter() - started) * 1000:.0f} ms"))
    return checks


async def _resolve(host: str) -> str:
    found = await anyio.getaddrinfo(host, None)
    return f"{host} is {', '.join(sorted({str(address[0]) for *_, address in found}))}"


async def _connect(host: str, port: int) -> str:
    async with await anyio.connect_tcp(host, port):
        return f"connected to port {port}"


async def _handshake(host: str, port: int) -> str:
    async with await anyio.connect_tcp(host, port, tls=True, tls_standard_compatible=False):
        return "certificate accepted"


async def _account(api: InkboxAPI, settings: Settings) -> list[Check]:
    started = time.perf_counter()
    try:
        with begin(settings.timeout):
            holder = await api.get(WHOAMI, KeyHolder)
            generation = await api.generation(again=True)
    except InkboxError as error:
        return [Check("API", False, str(error), _fix(error))]
    milliseconds = (time.perf_counter() - started) * 1000
    return [
        Check("API", True, f"answered in {milliseconds:.0f} ms"),
        Check("organization", True, f"{holder.organization_id}, key {holder.auth_subtype or 'of unknown scope'}"),
        _expiry(holder.expires_at),
        Check("generation", True, f"{generation} generation of the API"),
    ]


def _fix(error: InkboxError) -> str:
    """Return advice for a person, like an error's advice for a model."""
    match error:
        case Unauthorized():
            return "put a valid key into INKBOX_API_KEY, or into ~/.inkbox/config"
        case Forbidden():
            return "use a key that belongs to an organization"
        case NotFound() | UnexpectedResponse():
            return "check INKBOX_BASE_URL, or --base-url: what answers there is not the Inkbox API"
        case Unreachable() | Unavailable() | ServerError():
            return "try again later; if it still fails, check Inkbox's status page"
        case _:
            return error.looked_up or error.advice


def _expiry(expires_at: float | str | None) -> Check:
    if expires_at is None:
        return Check("expiry", True, "the key does not expire")
    try:
        at = (
            datetime.fromisoformat(expires_at)
            if isinstance(expires_at, str)
            else datetime.fromtimestamp(expires_at, UTC)
        )
        at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        fix = "look up in the Inkbox console when the key expires"
        return Check("expiry", False, f"unreadable: the API answered {str(expires_at)[:40]!r}", fix)
    return Check("expiry", at > datetime.now(UTC), f"{at:%Y-%m-%d %H:%M} UTC", "create a new key in the Inkbox console")


def _tools(settings: Settings, generation: Generation | None) -> Check:
    try:
        return Check("tools", True, ", ".join(Catalogues(settings).of(generation).tools))
    except SettingsError as error:
        return Check("tools", False, "none", str(error))
