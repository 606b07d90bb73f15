"""Several processes that serve one port: forked from one parent, which replaces those that die and passes signals on.

Each worker has a listening socket of its own, and the kernel spreads connections over them. The parent keeps them open,
so that no connection is refused while a worker is replaced.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from socket import socket
from types import FrameType

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_STARTS = 1.0


def fork_workers(listeners: list[socket], ended: Callable[[int], None] | None = None) -> socket | None:
    """Fork a worker for each listener.

    Args:
        listeners: bound to the same port.
        ended: told the process id of each worker that has ended.

    Returns:
        In a worker the listener to serve; in the parent None, once it was told to stop and all workers have ended.
    """
    lifeline, alive = os.pipe()
    workers: dict[int, int] = {}
    stopping = False

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            # A worker may get each SIGTERM twice, because systemd sends it to every process: to it they are one.
            number = signal.SIGINT
        stopping = True
        for listener in listeners:  # a connection would wait in it for a worker that never comes
            listener.close()
        for process in list(workers):
            os.kill(process, number)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    waiting = list(range(len(listeners)))
    while workers or (waiting and not stopping):
        # A signal meant for the parent must not find its handler in a half-made worker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        while waiting and not stopping:
            number = waiting.pop()
            process = os.fork()
            if process == 0:
                os.close(alive)
                _become_worker(lifeline)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                for other in listeners:
                    if other is not listeners[number]:  # clients would wait in it for a worker that has ended
                        other.close()
                return listeners[number]
            workers[process] = number
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        process, status = os.wait()
        if process not in workers:
            continue  # an orphan, which the first process of a container inherits, or the job of a shell
        waiting.append(workers.pop(process))
        if ended:
            ended(process)
        if not stopping:
            logger.error("worker %d ended with status %d; starting another", process, os.waitstatus_to_exitcode(status))
            time.sleep(SECONDS_BETWEEN_STARTS)
    os.close(alive)
    os.close(lifeline)
    return None


def _become_worker(lifeline: int) -> None:
    """End as on a signal, also when the parent was killed and can no longer pass one on."""

    def follow() -> None:
        os.read(lifeline, 1)  # ends when the parent's end of the pipe is closed
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=follow, daemon=True).start()
