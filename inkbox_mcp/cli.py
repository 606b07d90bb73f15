"""The command line: checks the options, then serves or runs a subcommand."""

import logging
import os
import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from inkbox_mcp.commands.parser import COMMANDS, server_parser
from inkbox_mcp.commands.terminal import fill_closed_streams, show_what_can_be_shown
from inkbox_mcp.process import for_good, leave_on_signals, run
from inkbox_mcp.settings.credentials import without_keys
from inkbox_mcp.settings.options import SettingsError
from inkbox_mcp.settings.sources import CONFIG_FILE, check, exposes_key, gather
from inkbox_mcp.stdio.warm_start import Beginning
from inkbox_mcp.telemetry.logs import give_up_lost_lines, log_to_stderr
from inkbox_mcp.text import one_line

logger = logging.getLogger(__name__)

DESCRIPTION = """\
An MCP server through which LLM agents run their own Inkbox mailboxes. Without a command it serves MCP over stdio.

commands:
  demo       watch a real MCP client run a mailbox's whole life on a temporary sandbox
  sandbox    run the embedded Inkbox as an HTTP server for other programs
  tools      show the tools as a table, or with --json as tools/list returns them
  doctor     find out why a set-up does not work; with --client claude or cursor, why that client does not
"""


def main(arguments: Sequence[str] | None = None, beginning: Beginning | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; default: those of this process.
        beginning: what was answered before anything was loaded; see `inkbox_mcp.stdio.warm_start`.

    Returns:
        The exit status: 0 for success, 1 if the demo or the doctor found an error, 2 if an option stopped the start.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    closed = fill_closed_streams()
    show_what_can_be_shown()
    try:
        if arguments and arguments[0] in COMMANDS:
            return import_module(f"inkbox_mcp.commands.{arguments[0]}").run(arguments[1:])
        return _serve(arguments, beginning, closed)
    except SettingsError as error:
        # The message may contain a key that was put in the wrong place, and clients keep their servers' output.
        message = without_keys(" ".join(str(error).split()))
        sys.stderr.write(f"inkbox-mcp: {one_line(message)}\n")
        return 2


def _serve(arguments: Sequence[str], beginning: Beginning | None, closed: Collection[str]) -> int:
    sources = gather(server_parser("", DESCRIPTION).choose(arguments), os.environ)
    settings = check(sources)
    if not settings.http and (missing := [name for name in ("stdin", "stdout") if name in closed]):
        raise SettingsError(f"an MCP client would be at stdin and stdout, but closed: {', '.join(missing)}")
    log_to_stderr(settings.log_level, settings.log_format)
    leave_on_signals()
    for needed, unused in sources.without_effect(settings).items():
        logger.warning("without %s these have no effect: %s", needed, ", ".join(unused))
    if exposed := exposes_key():
        logger.warning("%s holds your API key and can be read by others; chmod 600 it", CONFIG_FILE)
    if beginning and (exposed or settings.no_warm_start):
        beginning.recordings = None  # without a recording, so that every start logs this warning
    # Imported after the options are checked, because it takes most of the start.
    if settings.http:
        from inkbox_mcp.http.serve import serve_http

        serve_http(settings)
        give_up_lost_lines()
        return 0
    with for_good():
        from inkbox_mcp.service import Service
        from inkbox_mcp.stdio.serve import serve_stdio
        from inkbox_mcp.telemetry.tracing import configure

        configure()
        service = Service(settings)
    if sys.stdin and sys.stdin.isatty():
        sys.stderr.write("inkbox-mcp: waiting for an MCP client on stdin; to look around, see --help or run the demo\n")
    run(serve_stdio, service, beginning)
    return 0
