"""Answers the beginning of a conversation from a recording, before anything else is loaded.

A client begins every conversation with the same lines. A recording has these lines and the SDK's answers, byte by byte.
As long as the client sends the recorded lines, it gets the recorded answers. The first other line loads the server. The
SDK then gets all lines from the beginning, and its answers to the answered ones are dropped.

`inkbox_mcp.stdio.recording` makes the recordings. Their key is everything that an answer can depend on: arguments,
variables, the config file, Python, the files of this package, the versions of all packages, and the generations of the
API that were seen. Without a matching recording, the start is a normal one.
"""

import os
import stat
import sys

from inkbox_mcp.cache.place import GENERATIONS, digest, directory, is_private, read_private

# Not `signal`, which builds enumerations: that takes longer than this module.
signals = __import__("_signal")  # unknown to type checkers

Exchange = tuple[bytes, bytes]
"""A line of a client, and its answer, which may be empty."""


class Beginning:
    """The part of a conversation before the server is loaded.

    Attributes:
        recordings: the place of the recordings; see `recordings`.
        exchanges: the client's lines and their answers.
        generation: of the API, whose tools these answers show; None if there are none.
        unread: bytes that were read after these lines.
    """

    def __init__(self, recordings: tuple[str, str] | None = None) -> None:
        self.recordings = recordings
        self.exchanges: list[Exchange] = []
        self.generation: str | None = None
        self.unread = b""

    def folder(self) -> str | None:
        """Return the folder of the recordings for the settings and for what is known of the API now."""
        if self.recordings is None:
            return None
        cache, settings = self.recordings
        return f"{cache}/{digest(repr((settings, _generations(f'{cache}/{GENERATIONS}'))).encode())}"


def converse(arguments: list[str]) -> Beginning | None:
    """Answer a client from a recording, as far as possible.

    Args:
        arguments: of the command line.

    Returns:
        The beginning of the conversation, for the server to continue; None if the client closed a pipe.
    """
    beginning = Beginning(recordings(arguments))
    folder = beginning.folder()
    if folder is None or not is_private(folder):
        return beginning
    for number in (signals.SIGINT, signals.SIGTERM):
        signals.signal(number, _leave)
    try:
        return beginning if _answer(folder, beginning) else None
    except ConnectionError:
        return None


def pipes_available() -> bool:
    """Whether stdin and stdout are pipes or sockets that may be made non-blocking."""
    try:
        modes = [os.fstat(fd).st_mode for fd in (0, 1)]
        # A pipe shared with stderr must stay blocking: logging cannot handle non-blocking writes.
        shared = any(os.path.sameopenfile(fd, 2) for fd in (0, 1))
    except OSError:  # one of them is closed
        return False
    return sys.platform != "win32" and not shared and all(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes)


def _leave(_: object, __: object) -> None:
    os._exit(0)


def _answer(folder: str, beginning: Beginning) -> bool:
    """Answer lines from a recording; return whether the conversation continues."""
    generation = ""
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
            generation, exchanges = read(f"{folder}/{digest(line)}")
            recorded = exchanges[::-1]
        if not recorded or recorded[-1][0] != line:
            return True
        answer = recorded.pop()[1]
        beginning.generation = generation
        beginning.exchanges.append((line, answer))
        beginning.unread = rest
        while answer:
            answer = answer[os.write(1, answer) :]


def recordings(arguments: list[str]) -> tuple[str, str] | None:
    """Return our cache directory, and a digest of everything but the API that an answer depends on.

    None if nothing can be recorded.
    """
    cache, home = directory(), os.environ.get("HOME", "")
    # Traces need the SDK, and this module can only wait on blocking descriptors.
    traced = any(name.startswith("OTEL_") for name in os.environ)
    if cache is None or traced or not pipes_available() or not (os.get_blocking(0) and os.get_blocking(1)):
        return None
    variables = sorted(item for item in os.environ.items() if may_be_ours(item[0]) or item[0].startswith("PYTHON"))
    try:
        with open(f"{home}/.inkbox/config", "rb") as file:  # noqa: PTH123 - `pathlib` would be loaded first
            config = repr((file.read(), os.fstat(file.fileno()).st_mode))
    except OSError as error:
        config = repr(error.errno)
    installed = [(path, _installed(path)) for path in sys.path]
    facts = (arguments, variables, home, config, sys.version, sys.executable, installed, _own_files())
    return cache, digest(repr(facts).encode())


def _generations(folder: str) -> list[tuple[str, bytes]]:
    """Return what is known of the generations of the API, on which the list of tools depends.

    What cannot be read is nobody's knowledge, and is left out.
    """
    known: list[tuple[str, bytes]] = []
    try:
        names = sorted(os.listdir(folder)) if is_private(folder) else []  # noqa: PTH208 - `pathlib` would be loaded first
    except OSError:
        return known
    for name in names:
        if "." not in name:
            try:
                known.append((name, read_private(f"{folder}/{name}", 64)))
            except OSError:
                continue
    return known


def may_be_ours(variable: str) -> bool:
    """Whether a variable may be meant for this server, even if it is misspelt."""
    letters = "".join(filter(str.isalnum, variable)).casefold()
    return "inkbox" in letters or (letters.startswith("in") and "mcp" in letters)


def _installed(path: str) -> list[str]:
    """Return the names of the distributions in a directory of `sys.path`, which contain their versions."""
    try:
        return sorted(name for name in os.listdir(path) if name.endswith("-info"))  # noqa: PTH208 - `pathlib` would be loaded first
    except OSError:  # a zip file, or nothing
        return []


def _own_files() -> list[tuple[str, int, int]]:
    """Return the path, time and size of every Python file of the package."""
    found: list[tuple[str, int, int]] = []
    folders = [os.path.dirname(os.path.dirname(__file__))]  # noqa: PTH120 - `pathlib` would be loaded first
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    found.append((entry.path, entry.stat().st_mtime_ns, entry.stat().st_size))
                elif "." not in entry.name and entry.name != "__pycache__":
                    folders.append(entry.path)
    return sorted(found)


def read(path: str) -> tuple[str, list[Exchange]]:
    """Return the generation and the exchanges of a recording; none if it is missing, not private, or damaged."""
    try:
        data = read_private(path, 1 << 20)
    except OSError:
        return "", []
    checksum, _, rest = data.partition(b"\n")
    if checksum.decode("latin-1") != digest(rest):
        return "", []
    generation, *lines = rest.split(b"\n")[:-1]
    answers = [answer and answer + b"\n" for answer in lines[1::2]]
    return generation.decode(), list(zip(lines[::2], answers, strict=True))
