"""Makes this process believe that it runs on Windows, as far as another system allows.

Choices that other packages make when they are loaded, such as the event loop, stay those of this system. Modules that
are loaded later lack what Windows lacks.
"""

import importlib
import importlib.abc
import os
import signal
import sys
from collections.abc import Sequence

FIRST = ("asyncio", "subprocess", "anyio._backends._asyncio", "fastapi", "mcp.client.stdio", "uvicorn")
MODULES = frozenset({"dockerfile", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"})
SIGNALS = ("SIGALRM", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2")
OF_OS = ("O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fork", "geteuid", "getuid", "killpg", "mkfifo", "setsid", "uname")


class _Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        if fullname in MODULES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def pretend() -> None:
    """Remove what Windows lacks."""
    for name in FIRST:
        importlib.import_module(name)
    for name in MODULES - {"posix"}:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Missing())
    for module, names in ((signal, SIGNALS), (os, OF_OS)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    sys.platform = "win32"
