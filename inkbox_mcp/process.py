"""How a process loads what it runs, is stopped by signals, and ends.

SIGINT ends a server, and over stdio SIGTERM: calls in flight are cancelled, connections to Inkbox closed, and the
process exits with status 0. The end of input lets calls finish for a second, and SIGTERM over HTTP for longer.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

import anyio

SECONDS_TO_STOP = 1.8
SECONDS_FOR_THREADS = 1.0


@contextmanager
def for_good() -> Generator[None]:
    """Load it without looking for garbage in it: that would take a tenth of the start and most of the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(serve: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """Run a server, on the faster event loop where the extra `speed` is installed."""
    anyio.run(serve, *arguments, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def leave_on_signals() -> None:
    """End with status 0 on a signal during the start; `stop_on_signals` takes the signals over once a server runs."""

    def leave(_: int, __: FrameType | None) -> NoReturn:
        os._exit(0)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


async def stop_on_signals(stop: Callable[[], None], drain: Callable[[], Awaitable[None]] | None = None) -> None:
    """Stop a server on the first signal; what does not end by itself is left behind after `SECONDS_TO_STOP`.

    Args:
        stop: begins the end.
        drain: awaited before that, after a first SIGTERM.
    """
    if sys.platform == "win32":  # pragma: no cover
        return  # the event loop takes no signal handlers there

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
    """End this process with a status, if a thread would keep it waiting, such as one that waits for a locked file."""
    deadline = time.monotonic() + SECONDS_FOR_THREADS
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        if not thread.daemon:
            thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in threads):
        from inkbox_mcp.telemetry.tracing import shut_down  # most starts have loaded it, the others need not

        shut_down()
        os._exit(status)
