"""What a client said at its last start, it says again: it is answered from a recording, and nothing else is loaded.

A recording is the beginning of a conversation, line by line as the client wrote it and as the SDK answered. As long as
a client says the same bytes it gets the same bytes; the first other line loads the server, which hears all lines from
the beginning, and whose answers to those that were answered are dropped. `inkbox_mcp.stdio.recording` makes the
recordings. They are kept by all that an answer can depend on: arguments, variables, the config file, Python, the files
of this package, and the versions of all packages. Whoever cannot be answered so has a normal start.
"""

import os
import stat
import sys

# `signal` makes enumerations and `hashlib` loads OpenSSL: either takes longer than all that is done here.
try:
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b
signals = __import__("_signal")  # type checkers do not know it

Exchange = tuple[bytes, bytes]
"""A line of a client, and the line that answers it or nothing."""


class Beginning:
    """How far a conversation has come before the server is loaded.

    Attributes:
        folder: where recordings for these settings are; None when there can be none.
        exchanges: what was said and answered.
        unread: what was read after it.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.exchanges: list[Exchange] = []
        self.unread = b""


def converse(arguments: list[str]) -> Beginning | None:
    """Answer a client as long as a recording can.

    Args:
        arguments: of the command line.

    Returns:
        The conversation that the server is to go on with, or None when the client has closed a pipe or a signal came.
    """
    folder = recordings(arguments)
    beginning = Beginning(folder)
    if folder is None or not is_private(folder):
        return beginning
    for number in (signals.SIGINT, signals.SIGTERM):
        signals.signal(number, _leave)
    try:
        return beginning if _answer(folder, beginning) else None
    except ConnectionError:
        return None


def pipes_available() -> bool:
    """Whether stdin and stdout are pipes or sockets of which nobody else depends on their blocking."""
    try:
        modes = [os.fstat(fd).st_mode for fd in (0, 1)]
        # Who writes to stderr, such as a log, is not prepared to be told to try again.
        shared = any(os.path.sameopenfile(fd, 2) for fd in (0, 1))
    except OSError:  # one of them is closed
        return False
    return sys.platform != "win32" and not shared and all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes)


def _leave(_: object, __: object) -> None:
    os._exit(0)


def _answer(folder: str, beginning: Beginning) -> bool:
    """Return whether there is more to answer."""
    recorded: list[Exchange] | None = None
    while True:
        line, newline, rest = beginning.unread.partition(b"\n")
        if not newline:
            data = os.read(0, 1 << 16)
            if not data:
                return bool(beginning.unread)
            beginning.unread += data
            if len(beginning.unread) > 1 << 16:
                return True
            continue
        if recorded is None:
            recorded = read(f"{folder}/{digest(line)}")[::-1]
        if not recorded or recorded[-1][0] != line:
            return True
        answer = recorded.pop()[1]
        beginning.exchanges.append((line, answer))
        beginning.unread = rest
        while answer:
            answer = answer[os.write(1, answer) :]


def recordings(arguments: list[str]) -> str | None:
    """Return the folder of the recordings for what an answer depends on; None where nothing can be recorded."""
    home = os.environ.get("HOME", "")
    # Traces tell when a request came, and a file that does not block cannot be waited for here.
    traced = any(name.startswith("OTEL_") for name in os.environ)
    if not home or traced or not pipes_available() or not (os.get_blocking(0) and os.get_blocking(1)):
        return None
    variables = sorted(item for item in os.environ.items() if may_be_ours(item[0]) or item[0].startswith("PYTHON"))
    try:
        with open(f"{home}/.inkbox/config", "rb") as file:  # noqa: PTH123
            config = repr((file.read(), os.fstat(file.fileno()).st_mode))
    except OSError as error:
        config = repr(error.errno)
    installed = [(path, _installed(path)) for path in sys.path]
    facts = (arguments, variables, home, config, sys.version, sys.executable, installed, _own_files())
    return f"{_cache(home)}/{digest(repr(facts).encode())}"


def may_be_ours(variable: str) -> bool:
    """Whether a variable may be meant for this server, also where it is misspelt."""
    letters = variable.replace("_", "").replace("-", "").casefold()
    return "inkbox" in letters or (letters.startswith("in") and "mcp" in letters)


def _cache(home: str) -> str:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if not chosen.startswith("/"):
        chosen = f"{home}/Library/Caches" if sys.platform == "darwin" else f"{home}/.cache"
    return f"{chosen}/inkbox-mcp"


def _installed(path: str) -> list[str]:
    """Return the names of the distributions in a directory of `sys.path`; they tell the versions."""
    try:
        return sorted(name for name in os.listdir(path) if name.endswith("-info"))  # noqa: PTH208
    except OSError:  # a zip file, or nothing
        return []


def _own_files() -> list[tuple[str, int, int]]:
    """Return all files of the package, of which this one's folder is only a part."""
    found: list[tuple[str, int, int]] = []
    folders = [os.path.dirname(os.path.dirname(__file__))]  # noqa: PTH120
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    found.append((entry.path, entry.stat().st_mtime_ns, entry.stat().st_size))
                elif "." not in entry.name and entry.name != "__pycache__":
                    folders.append(entry.path)
    return sorted(found)


def digest(data: bytes) -> str:
    """Return a name for some bytes."""
    return blake2b(data, digest_size=16).hexdigest()


def is_private(folder: str) -> bool:
    """Whether a folder is there, belongs to this user, and is nobody else's to read or write."""
    try:
        info = os.lstat(folder)
    except OSError:
        return False
    return info.st_uid == os.geteuid() and info.st_mode & 0o170077 == 0o040000


def read(path: str) -> list[Exchange]:
    """Return the exchanges of a recording; none when it is not there, not ours or damaged."""
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            info = os.fstat(file.fileno())
            data = file.read(1 << 20) if info.st_uid == os.geteuid() and info.st_mode & 0o170077 == 0o100000 else b""
    except OSError:
        return []
    checksum, _, rest = data.partition(b"\n")
    if checksum.decode("latin-1") != digest(rest):
        return []
    lines = rest.split(b"\n")[:-1]
    return list(zip(lines[::2], [answer and answer + b"\n" for answer in lines[1::2]], strict=True))


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
