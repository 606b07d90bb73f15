"""Whether a client is at the other end; this must stay light, see `inkbox_mcp.warmstart`."""

import os
import stat
import sys


def pipes_available() -> bool:
    """Whether stdin and stdout are pipes or sockets of which nobody else depends on their blocking."""
    try:
        modes = [os.fstat(fd).st_mode for fd in (0, 1)]
        # Who writes to stderr, such as a log, is not prepared to be told to try again.
        shared = any(os.path.sameopenfile(fd, 2) for fd in (0, 1))
    except OSError:  # one of them is closed
        return False
    return sys.platform != "win32" and not shared and all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes)
