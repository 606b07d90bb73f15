"""`inkbox-mcp sandbox`: the embedded Inkbox as an HTTP server for other programs."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import anyio

from inkbox_mcp.api.generations import Generation
from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.process import leave_on_signals
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.settings.sources import load


def run(arguments: Sequence[str]) -> int:
    """Run the command `sandbox` and return its exit status."""
    parser = Parser("sandbox", "Run the embedded Inkbox as an HTTP server; any key ApiKey_<uuid>.<secret> works.")
    database, generations = Settings.model_fields["sandbox_db"].default, get_args(Generation)
    add = partial(parser.add_argument, action="append")
    add("--port", metavar="N", help="port, 0 for a free one (default: 8800)")
    add("--db", metavar="PATH", help=f"database file, or :memory: (default: {database})")
    add("--generation", choices=generations, help="of the API (default: spec)")
    chosen = {"port": 8800, **parser.choose(arguments)}
    names = {"db": "sandbox_db", "generation": "sandbox_generation"}
    flags = {"http": True, "sandbox": True, **{names.get(name, name): value for name, value in chosen.items()}}
    try:
        settings = load(flags, {}, config_file=Path(os.devnull))
    except SettingsError as error:
        raise SettingsError(str(error).replace("--sandbox-", "--")) from None
    leave_on_signals()
    # Imported after the options are checked, because it takes most of the start.
    from inkbox_mcp.http.asgi_server import listening, origin, serve_app
    from inkbox_mcp.sandbox import Store, StoreError, create_app

    try:
        with Store(settings.sandbox_db) as store, listening(settings.host, settings.port) as listener:
            show(f"Inkbox sandbox: INKBOX_BASE_URL={origin(settings.host, listener)}\n")
            anyio.run(serve_app, create_app(store, settings.sandbox_generation), listener)
    except StoreError as error:
        raise SettingsError(f"--db: {error}") from None
    return 0
