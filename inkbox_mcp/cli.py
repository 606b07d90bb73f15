"""The command line: what to run."""

import errno
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from types import FrameType
from typing import NoReturn, cast, get_args

import anyio
from pydantic import SecretStr

from inkbox_mcp.arguments import COMMANDS, Parser, server_parser
from inkbox_mcp.configuration import CONFIG_FILE, check, exposes_key, gather, load
from inkbox_mcp.generations import Generation
from inkbox_mcp.loading import for_good
from inkbox_mcp.logs import give_up_lost_lines, log_to_stderr
from inkbox_mcp.settings import Settings, SettingsError
from inkbox_mcp.terminal import fill_closed_streams, show, show_what_can_be_shown
from inkbox_mcp.text import one_line
from inkbox_mcp.warmstart import Beginning

logger = logging.getLogger(__name__)

SECONDS_FOR_THREADS = 1.0

DESCRIPTION = """\
An MCP server through which LLM agents run their own Inkbox mailboxes. Without a command it serves MCP over stdio.

commands:
  demo       watch a real MCP client run a mailbox's whole life on a temporary sandbox
  sandbox    run the embedded Inkbox as an HTTP server for other programs
  tools      show the tools as a table, or with --json as tools/list returns them
  doctor     find out why a set-up does not work
"""


def main(arguments: Sequence[str] | None = None, beginning: Beginning | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; default: those of this process.
        beginning: how far the conversation has come that is to be served; see `inkbox_mcp.warmstart`.

    Returns:
        The exit status: 0 when all went well, 1 when the demo or the doctor found something wrong, 2 when an option
        stopped the start.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    closed = fill_closed_streams()
    show_what_can_be_shown()
    try:
        if arguments and arguments[0] in _RUN:
            return _RUN[arguments[0]](arguments[1:])
        return _serve(arguments, beginning, closed)
    except SettingsError as error:
        # A key that was pasted in the wrong place is not repeated: clients keep what their servers write.
        message = re.sub(r"ApiKey_\S+", "ApiKey_…", " ".join(str(error).split()))
        sys.stderr.write(f"inkbox-mcp: {one_line(message)}\n")
        return 2


def _serve(arguments: Sequence[str], beginning: Beginning | None, closed: Collection[str]) -> int:
    sources = gather(server_parser("", DESCRIPTION).choose(arguments), os.environ)
    settings = check(sources)
    if not settings.http and (missing := [name for name in ("stdin", "stdout") if name in closed]):
        raise SettingsError(f"an MCP client would be at stdin and stdout, but closed: {', '.join(missing)}")
    log_to_stderr(settings.log_level, settings.log_format)
    _leave_on_signals()
    for needed, unused in sources.without_effect(settings).items():
        logger.warning("without %s these have no effect: %s", needed, ", ".join(unused))
    if exposed := exposes_key():
        logger.warning("%s holds your API key and can be read by others; chmod 600 it", CONFIG_FILE)
    if beginning and (exposed or settings.no_warm_start):
        beginning.folder = None  # no recording, so that every start has this warning
    if settings.http:
        return _serve_http(settings)
    # After the options are checked: loading the rest takes most of the start.
    with for_good():
        from inkbox_mcp.service import Service
        from inkbox_mcp.tracing import configure
        from inkbox_mcp.transports import serve_stdio

        configure()
        service = Service(settings)
    if sys.stdin and sys.stdin.isatty():
        sys.stderr.write("inkbox-mcp: waiting for an MCP client on stdin; to look around, see --help or run the demo\n")
    _run(serve_stdio, service, beginning)
    return 0


def _run(serve: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Run a server, on the faster event loop where the extra `speed` is installed."""
    anyio.run(serve, *arguments, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def _serve_http(settings: Settings) -> int:
    from inkbox_mcp.http.app import MCP_PATH, serve
    from inkbox_mcp.service import offered
    from inkbox_mcp.transports import origin

    offered(settings)  # a misspelt tool stops the start, not each worker
    with _listening(settings, settings.workers) as listeners:
        settings = _knowing_its_questions(settings)
        logger.warning("serving MCP at %s%s", origin(settings.host, listeners[0]), MCP_PATH)
        listener = listeners[0] if settings.workers == 1 else _forked(settings, listeners)
        if listener:
            _run(serve, settings, listener)
    give_up_lost_lines()
    return 0


def _knowing_its_questions(settings: Settings) -> Settings:
    """Give the workers a key that they share, where the operator gave none for all replicas."""
    if settings.request_state_keys:
        return settings
    if not settings.is_local and settings.confirm != "never":
        logger.warning(
            "without INKBOX_MCP_REQUEST_STATE_KEYS, a human whose answer comes to another replica is asked again"
        )
    return settings.model_copy(update={"request_state_keys": (SecretStr(secrets.token_hex(32)),)})


def _forked(settings: Settings, listeners: list[socket]) -> socket | None:
    """Become a worker and return its listener; the parent returns None when all of them have ended."""
    from inkbox_mcp.http.workers import fork_workers
    from inkbox_mcp.metrics import add_processes_up, forget_process

    if not settings.metrics:
        return fork_workers(listeners)
    directory = add_processes_up()
    listener = fork_workers(listeners, forget_process)
    if not listener:
        shutil.rmtree(directory)
    return listener


@contextmanager
def _listening(settings: Settings, count: int = 1) -> Generator[list[socket]]:
    from inkbox_mcp.transports import listen

    try:
        listeners = listen(settings.host, settings.port, count)
    except OSError as error:
        taken = error.errno in {errno.EADDRINUSE, errno.EACCES}
        option = f"--port {settings.port}" if taken else f"--host {settings.host}"
        raise SettingsError(f"{option}: {error.strerror or error}") from None
    with ExitStack() as stack:
        yield [stack.enter_context(listener) for listener in listeners]


def _demo(arguments: Sequence[str]) -> int:
    Parser("demo", "Watch a real MCP client run a mailbox's whole life on a temporary sandbox.").choose(arguments)
    load({}, {})  # the server that the tour starts reads the config file too, and could only stop
    from inkbox_mcp.demo import play

    try:
        return anyio.run(play)
    except* SettingsError as errors:  # of stdout
        failed = errors
    raise SettingsError(str(next(_leaves(failed))))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error


def _sandbox(arguments: Sequence[str]) -> int:
    description = "Run the embedded Inkbox as an HTTP server; any key ApiKey_<uuid>.<secret> works."
    parser = Parser("sandbox", description)
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
    _leave_on_signals()
    from inkbox_mcp.sandbox import Store, StoreError, create_app
    from inkbox_mcp.transports import origin, serve_http

    try:
        with Store(settings.sandbox_db) as store, _listening(settings) as (listener,):
            show(f"Inkbox sandbox: INKBOX_BASE_URL={origin(settings.host, listener)}\n")
            anyio.run(serve_http, create_app(store, settings.sandbox_generation), listener)
    except StoreError as error:
        raise SettingsError(f"--db: {error}") from None
    return 0


def _doctor(arguments: Sequence[str]) -> int:
    parser = server_parser("doctor", "Check everything between this command and a working tool.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.choose(arguments)
    as_json = chosen.pop("json", False)
    sources = gather(chosen, os.environ)
    settings = check(sources)
    from inkbox_mcp import doctor

    checks = anyio.run(doctor.examine, settings, sources.places(settings), sources.unused(settings))
    show(doctor.as_json(checks) if as_json else doctor.as_text(checks))
    return 0 if all(check.ok for check in checks) else 1


def _tools(arguments: Sequence[str]) -> int:
    parser = Parser("tools", "Show the tools.")
    parser.add_argument("--json", action="store_true", help="as tools/list returns them")
    as_json = parser.choose(arguments).get("json", False)
    from inkbox_mcp import reference

    show(reference.tools_json() if as_json else reference.tools_table())
    return 0


_RUN = dict(zip(COMMANDS, (_demo, _sandbox, _tools, _doctor), strict=True))


def _leave_on_signals() -> None:
    """End with status 0 on a signal during the start; the transport takes the signals over once it serves."""

    def leave(_: int, __: FrameType | None) -> NoReturn:
        os._exit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


def leave_threads_behind(status: int) -> None:
    """End this process with a status, if a thread would keep it waiting, such as one that waits for a locked file."""
    deadline = time.monotonic() + SECONDS_FOR_THREADS
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        if not thread.daemon:
            thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in threads):
        from inkbox_mcp.tracing import shut_down

        shut_down()
        os._exit(status)
