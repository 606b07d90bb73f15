"""`inkbox-mcp sandbox`: the embedded Inkbox as an HTTP server for other programs."""

import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, get_args

import anyio

from inkbox_mcp import install_line
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.process import leave_on_signals
from inkbox_mcp.settings.credentials import SANDBOX_KEY
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.settings.sources import load

if TYPE_CHECKING:
    from inkbox_mcp.sandbox import Store

_EPILOG = "inkbox-mcp sandbox deliver --help says how mail from outside is delivered."


def run(arguments: Sequence[str]) -> int:
    """Run the command `sandbox` and return its exit status."""
    if arguments[:1] == ["deliver"]:
        from inkbox_mcp.commands import deliveries

        return deliveries.run(arguments[1:], Settings.model_fields["sandbox_db"].default)
    chosen = _parser().choose(arguments)
    smtp_port = _smtp_port(chosen.pop("smtp_port", None))
    names = {"db": "sandbox_db", "generation": "sandbox_generation"}
    given = {names.get(name, name): value for name, value in chosen.items()}
    flags = {"http": True, "sandbox": True, "port": 8800, **given}
    try:
        settings = load(flags, {}, config_file=Path(os.devnull))
    except SettingsError as error:
        raise SettingsError(str(error).replace("--sandbox-", "--")) from None
    leave_on_signals()
    # Imported after the options are checked, because it takes most of the start.
    from inkbox_mcp.http.asgi_server import listening, origin
    from inkbox_mcp.sandbox import Store, StoreError

    try:
        with ExitStack() as opened:
            store = opened.enter_context(Store(settings.sandbox_db))
            listener = opened.enter_context(listening(settings.host, settings.port))
            smtp = None if smtp_port is None else opened.enter_context(_listening_smtp(settings.host, smtp_port))
            url = origin(settings.host, listener)
            show(_announcement(url))
            show(f"see its mailboxes and their mail: {url}/\n")
            if smtp is not None:
                show(f"mail by SMTP: {settings.host}:{smtp.getsockname()[1]}\n")
            anyio.run(_serve, store, settings, listener, smtp)
    except StoreError as error:
        raise SettingsError(f"--db: {error}") from None
    return 0


def _announcement(url: str) -> str:
    """Return the lines for the shell of a program that uses the sandbox, with a key that works."""
    line = '$env:{} = "{}"' if os.name == "nt" else "export {}={}"
    shell = "PowerShell" if os.name == "nt" else "the shell"
    variables = {"INKBOX_BASE_URL": url, "INKBOX_API_KEY": SANDBOX_KEY}
    lines = [line.format(name, value) for name, value in variables.items()]
    return "\n".join([f"Inkbox sandbox: paste these two lines into {shell} of the program that uses it", *lines, ""])


def _parser() -> Parser:
    parser = Parser("sandbox", "Run the embedded Inkbox as an HTTP server; any key ApiKey_<uuid>.<secret> works.")
    parser.epilog = _EPILOG
    database, generations = Settings.model_fields["sandbox_db"].default, get_args(Generation)
    add = partial(parser.add_argument, action="append")
    add("--port", metavar="N", help="port, 0 for a free one (default: 8800)")
    add("--db", metavar="PATH", help=f"database file, or :memory: (default: {database})")
    add("--generation", choices=generations, help="of the API (default: spec)")
    add("--smtp-port", metavar="N", help="also take mail by SMTP on this port, 0 for a free one; needs the extra smtp")
    return parser


def _smtp_port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 2**16):
        raise SettingsError("--smtp-port must be a number from 0 to 65535")
    if find_spec("aiosmtpd") is None:
        raise SettingsError(f"--smtp-port needs the extra smtp: {install_line('smtp')}")
    return int(text)


def _listening_smtp(host: str, port: int) -> socket:
    from inkbox_mcp.http.asgi_server import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise SettingsError(f"--smtp-port {port}: {error.strerror or error}") from None


async def _serve(store: "Store", settings: Settings, listener: socket, smtp: socket | None) -> None:
    from inkbox_mcp.commands.page import create_page
    from inkbox_mcp.http.asgi_server import serve_app
    from inkbox_mcp.sandbox import create_app

    async with AsyncExitStack() as served:
        if smtp is not None:
            from inkbox_mcp.sandbox.mail.smtp import serving_smtp

            await served.enter_async_context(serving_smtp(store, smtp))
        await serve_app(create_page(store, settings, create_app(store, settings.sandbox_generation)), listener)
