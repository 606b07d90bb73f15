"""Serves one client over stdin and stdout, until it closes one of them or a signal comes."""

import logging
import os
import sys
from contextlib import redirect_stdout
from functools import partial

import anyio

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.process import for_good, stop_on_signals
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import SettingsError
from inkbox_mcp.stdio.direct import DirectCalls
from inkbox_mcp.stdio.pipes import Pipes, taken_over
from inkbox_mcp.stdio.warm_start import Beginning, pipes_available
from inkbox_mcp.telemetry.tracing import shut_down

logger = logging.getLogger(__name__)


async def serve_stdio(service: Service, beginning: Beginning | None = None) -> None:
    """Serve one client over stdin and stdout until it closes one of them or a signal comes.

    Args:
        service: see `inkbox_mcp.service`.
        beginning: the lines that were answered before the server was loaded.
    """
    if not pipes_available():
        await _serve_with_threads(service)
        return
    beginning = beginning or Beginning()
    # `redirect_stdout` keeps stray prints off the wire, `taken_over` those of child processes and extensions.
    with taken_over() as (stdin, stdout), redirect_stdout(sys.stderr):
        async with anyio.create_task_group() as tasks:
            pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel, beginning.unread)
            tasks.start_soon(stop_on_signals, pipes.hang_up)
            await serve_pipes(service, pipes, beginning)
            tasks.cancel_scope.cancel()


async def serve_pipes(service: Service, pipes: Pipes, beginning: Beginning) -> None:
    """Serve one client over its pipes. The SDK is imported by the first line that is no plain call."""
    pipes.before_end = service.ending.set
    async with service.tenants, anyio.create_task_group() as tasks:
        calls = DirectCalls(service, pipes, tasks, beginning)
        try:
            line = await calls.next_line()
            with for_good():
                from inkbox_mcp.protocol.server import server_of
                from inkbox_mcp.stdio.sdk_streams import Messages
            generation = partial(service.discovery.shown_for_good, LOCAL)
            messages, server = Messages(pipes, calls, beginning, line, generation), server_of(service)
            await server.run(messages, messages, server.create_initialization_options())
        except anyio.EndOfStream:
            pass  # no line needed the SDK
        tasks.cancel_scope.cancel()


async def _serve_with_threads(service: Service) -> None:
    """Serve a terminal, a file, or any client on Windows, by the SDK's own transport."""
    with for_good():
        from mcp.server.stdio import stdio_server

        from inkbox_mcp.protocol.server import server_of
        from inkbox_mcp.stdio.threads import Answers, Lines, Requests
    server = server_of(service)
    failed = ()
    try:
        # Not `sys.stdin`, whose encoding depends on the system, and which Python closes at exit.
        lines = Lines(os.fdopen(0, "rb", closefd=False))
        async with stdio_server(anyio.wrap_file(lines)) as (read, write), anyio.create_task_group() as tasks:
            tasks.start_soon(stop_on_signals, tasks.cancel_scope.cancel)
            # The transport owns stdout now, but Python would flush stray prints to it at exit.
            with redirect_stdout(sys.stderr):
                try:
                    requests = Requests(lines, read, write, service.ending.set)
                    answers = Answers(write, requests)
                    await server.run(requests, answers, server.create_initialization_options())
                except anyio.get_cancelled_exc_class():
                    # A signal came, or the client closed stdout. A thread of the transport still reads stdin, and would
                    # block the interpreter's exit.
                    shut_down()
                    os._exit(0)
            tasks.cancel_scope.cancel()
    except* BrokenPipeError:
        logger.info("the client no longer reads")
    except* OSError as errors:  # such as a full disk
        failed = errors.exceptions
    if failed:
        raise SettingsError("the answers cannot be written to stdout, or nothing can be read from stdin")
