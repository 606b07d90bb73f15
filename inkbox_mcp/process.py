"""How a process loads its code, reacts to signals, and exits.

SIGINT stops a server, and over stdio SIGTERM too: running calls are cancelled, connections to Inkbox are closed, and
the process exits with status 0. At the end of input, calls have a second to finish; after SIGTERM over HTTP, longer.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import anyio

SECONDS_TO_STOP = 1.8
SECONDS_FOR_THREADS = 1.0


@contextmanager
def for_good() -> Generator[None]:
    """Import modules without garbage collection, which would take a tenth of the start and most of the exit."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(serve: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Run a server."""
    anyio.run(serve, *arguments)


def leave_on_signals() -> None:
    """Exit with status 0 on a signal during the start, until `stop_on_signals` handles signals."""

    def leave(_: int, __: FrameType | None) -> NoReturn:
        os._exit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


async def stop_on_signals(stop: Callable[[], None], drain: Callable[[], Awaitable[None]] | None = None) -> None:
    """Stop a server on a signal, and exit after `SECONDS_TO_STOP` even if something still runs.

    Args:
        stop: tells the server to stop.
        drain: awaited before `stop`, after a first SIGTERM.
    """
    if sys.platform == "win32":  # pragma: no cover - the event loop has no signal handlers there
        return

    def end() -> None:
        stop()
        # Such as a thread that waits for a locked database.
        last_resort = threading.Timer(SECONDS_TO_STOP, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()

    async def drain_first(drain: Callable[[], Awaitable[None]]) -> None:
        await drain()
        end()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                if number == signal.SIGTERM and drain:
                    tasks.start_soon(drain_first, drain)
                    drain = None
                else:
                    end()


def leave_threads_behind(status: int) -> None:
    """Exit with a status even if a thread still runs, such as one that waits for a locked file."""
    deadline = time.monotonic() + SECONDS_FOR_THREADS
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        if not thread.daemon:
            thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in threads):
        from inkbox_mcp.telemetry.tracing import shut_down  # slow to import, and mostly imported already

        shut_down()
        os._exit(status)
