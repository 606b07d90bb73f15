"""Nothing leaves this machine as an attachment but files that the call names, in the one folder for attachments."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.toolkit.attached_files import MOST_BYTES, attached
from tests.support.meanwhile import meanwhile
from tests.support.processes import PATIENCE

SECRET = b"the secret of somebody else"
LINK = "is behind a link or a file in place of a folder"
NOT_INSIDE = "must be a file in the folder for attachments"
NAME = "has a name "


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder for attachments with a file, and a secret beside it."""
    folder = tmp_path.resolve() / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "mine.txt").write_bytes(b"mine")
    (folder / "sub" / "mine.txt").write_bytes(b"mine")
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_bytes(SECRET)
    (folder.parent / "secret.txt").write_bytes(SECRET)
    return folder


def refusal(folder: Path, source: str) -> str:
    """Return the error about a source."""
    with pytest.raises(InvalidArguments) as caught:
        attached([source], folder)
    told = str(caught.value)
    assert told.startswith("attachments.0: ")
    assert str(folder.parent) not in told
    return told


LINKS: dict[str, tuple[str, str, str]] = {
    "to a file": ("link", "../secret.txt", "link"),
    "to a file inside": ("link", "mine.txt", "link"),
    "to nothing": ("link", "../gone", "link"),
    "to itself": ("link", "link", "link"),
    "to a folder": ("link", "../outside", "link"),
    "on the way": ("link", "../outside", "link/mine.txt"),
    "on the way to nothing": ("link", "../gone", "link/mine.txt"),
    "in the middle": ("sub/link", "../../outside", "sub/link/mine.txt"),
    "to the folder itself": ("link", ".", "link/mine.txt"),
    "to this process": ("link", "/proc/self/environ", "link"),
}


@pytest.mark.posix
@pytest.mark.parametrize("kind", LINKS)
def test_no_link_is_followed(kind: str, place: Path) -> None:
    """Wherever it leads, and whether that exists or not, the error is the same."""
    link, target, source = LINKS[kind]
    (place / link).symlink_to(target)
    assert LINK in refusal(place, source)
    assert LINK in refusal(place, str(place / source))


@pytest.mark.posix
@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_that_became_a_link_is_not_followed(depth: int, place: Path) -> None:
    """Nor is one above it."""
    folder = place / "sub"
    replaced = [folder, place][depth]
    replaced.rename(place.parent / "moved")
    replaced.symlink_to(place.parent / ["outside", "moved"][depth])
    assert LINK in refusal(folder, "mine.txt")


OUTSIDE = [
    "..",
    "../secret.txt",
    "../gone.txt",
    "sub/../../secret.txt",
    "sub/../mine.txt",
    "sub/..",
    "mine.txt\0/../../secret.txt",
    "/etc/passwd",
    "/etc/no-such-file",
    "//etc/passwd",
    "/proc/self/environ",
    "/",
    ".",
    "./",
    "",
]
NAMES = [
    ".ssh",
    ".ssh/id_rsa",
    "sub/.env",
    ".inkbox-0123456789abcdef.part",
    "...",
    "~",
    "~/secret.txt",
    "~root/x",
    "mine.txt\0",
    "mine.txt\n",
    "mine.txt ",
    "mine.txt.",
    "mine\u202etxt.exe",
    "mi\u200bne.txt",
    "..\\secret.txt",
    "sub\\mine.txt",
    "C:\\secret.txt",
    "C:secret.txt",
    "C:/secret.txt",
    "\\\\host\\share\\a.txt",
    "\\\\?\\C:\\a.txt",
    "mine.txt::$DATA",
    "mine.txt:stream",
    "file:mine.txt",
    "CON",
    "nul.txt",
    "com1.tar.gz",
    "sub/aux/a.txt",
    "*.txt",
    "x" * 256,
]


@pytest.mark.posix
@pytest.mark.parametrize("source", OUTSIDE, ids=repr)
def test_no_path_leads_out(source: str, place: Path) -> None:
    """It is decided by the path alone: what is outside is not looked at."""
    assert NOT_INSIDE in refusal(place, source)


@pytest.mark.posix
@pytest.mark.parametrize("source", NAMES, ids=ascii)
def test_no_name_that_hides_or_means_something_else_is_opened(source: str, place: Path) -> None:
    """Also where such a file is there."""
    with suppress(OSError, ValueError):
        (place / source).parent.mkdir(exist_ok=True)
        (place / source).write_bytes(SECRET)
    assert NAME in refusal(place, source)


def test_a_path_beside_the_folder_is_outside_whether_it_is_there_or_not(place: Path) -> None:
    """Its name may begin like the folder's."""
    beside = place.parent / f"{place.name}-old"
    beside.mkdir()
    (beside / "a.txt").write_bytes(SECRET)
    told = {refusal(place, str(beside / name)) for name in ("a.txt", "gone.txt", "gone/a.txt")}
    told |= {refusal(place, str(path)) for path in (place, place.parent, place.parent / "secret.txt")}
    assert len(told) == 1
    assert NOT_INSIDE in told.pop()


pieces = st.sampled_from(
    ["..", ".", "", "in", "outside", "sub", "link", "linked", "mine.txt", "secret.txt", "\0", "\n", " ", "~", "C:",
     "..\\", "%2e%2e", "\u202e", "．．", "a" * 300, "etc", "passwd", "é"]
)  # fmt: skip


@given(st.lists(pieces, min_size=1, max_size=6), st.sampled_from(["", "/", "//", "in", "out", "./"]))
@example(["..", "secret.txt"], "")
@example(["sub", "..", "..", "outside", "mine.txt"], "in")
@pytest.mark.posix
def test_whatever_the_path_is_only_files_of_the_folder_are_read(parts: list[str], start: str) -> None:
    """The folder has links to what is outside."""
    with tempfile.TemporaryDirectory() as made:
        outer = Path(made).resolve()
        folder = outer / "in"
        (folder / "sub").mkdir(parents=True)
        (outer / "outside").mkdir()
        for secret in (outer / "secret.txt", outer / "outside" / "mine.txt"):
            secret.write_bytes(SECRET)
        for mine in (folder / "mine.txt", folder / "sub" / "mine.txt"):
            mine.write_bytes(b"mine")
        (folder / "link").symlink_to(outer / "outside")
        (folder / "sub" / "linked").symlink_to(outer / "secret.txt")
        begin = {"in": f"{folder}/", "out": f"{outer}/"}.get(start, start)
        try:
            found = attached([begin + "/".join(parts)], folder)
        except InvalidArguments:
            return
        assert [file.content for file in found] == [b"mine"]


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": lambda path: os.mkfifo(path),
    "socket": lambda path: os.mknod(path, 0o140666),
    "folder": lambda path: path.mkdir(),
    "device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),  # /dev/zero
    "terminal": lambda path: os.mknod(path, 0o20666, os.makedev(5, 2)),  # each opening of /dev/ptmx makes one
}


@pytest.mark.linux
@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_read_and_none_is_waited_for(kind: str, place: Path) -> None:
    """A pipe that nobody writes to and a device without an end would hold a thread forever."""
    try:
        SPECIAL[kind](place / "special")
    except PermissionError:
        pytest.skip("only root can make devices")
    program = (
        "import sys; from pathlib import Path; from inkbox_mcp.errors import InvalidArguments\n"
        "from inkbox_mcp.toolkit.attached_files import attached\n"
        "try: attached(['special'], Path(sys.argv[1]))\n"
        "except InvalidArguments as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(place)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ended.stdout == "attachments.0: is a folder, a device or a pipe; pass the path of a file.\n"


@pytest.mark.posix
def test_a_pipe_that_is_refused_is_not_opened(place: Path) -> None:
    """Its writer, which waits for a reader, would go on and fail."""
    os.mkfifo(place / "pipe")
    writing = "import os, sys; print(flush=True); os.open(sys.argv[1], os.O_WRONLY); print('opened')"
    command = [sys.executable, "-c", writing, str(place / "pipe")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"\n"
        for _ in range(50):
            refusal(place, "pipe")
        writer.kill()
        assert writer.stdout.read() == b""


@pytest.mark.posix
def test_a_refused_file_leaves_nothing_open(place: Path) -> None:
    """A server that runs for long would have no descriptors left."""
    os.mkfifo(place / "pipe")
    (place / "link").symlink_to("../secret.txt")
    with (place / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    before = len([*Path("/dev/fd").iterdir()])
    for source in ("pipe", "sub", "link", "link/x", "gone", "sub/gone", "mine.txt/x", "large"):
        refusal(place, source)
    assert attached(["sub/mine.txt"], place)[0].content == b"mine"
    assert len([*Path("/dev/fd").iterdir()]) == before


@pytest.mark.linux
def test_where_the_system_takes_paths_only_no_link_is_followed_either(place: Path) -> None:
    """Windows has no descriptors of folders, and no flag against links."""
    (place / "link").symlink_to("../secret.txt")
    (place / "way").symlink_to("../outside")
    program = (
        "import os, sys; from pathlib import Path\n"
        "os.supports_dir_fd.clear()\n"
        "del os.O_NOFOLLOW, os.O_DIRECTORY, os.O_NONBLOCK, os.O_NOCTTY, os.O_CLOEXEC, os.O_PATH\n"
        "from inkbox_mcp.errors import InvalidArguments; from inkbox_mcp.toolkit.attached_files import attached\n"
        "folder = Path(sys.argv[1])\n"
        "print(attached(['sub/mine.txt', str(folder / 'empty')], folder)[0].content.decode())\n"
        "for name in ('link', 'way/mine.txt', 'gone', 'sub'):\n"
        "    try: attached([name], folder)\n"
        "    except InvalidArguments as error: print(str(error).split('; ')[0])\n"
    )
    (place / "empty").touch()
    command = [sys.executable, "-c", program, str(place)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert ended.stdout.splitlines() == [
        "mine",
        f"attachments.0: {LINK}",
        f"attachments.0: {LINK}",
        "attachments.0: is no file in the folder for attachments",
        "attachments.0: is a folder, a device or a pipe",
    ]


FLIPS: dict[str, tuple[str, str, str]] = {
    "the file": ("mine.txt", "../secret.txt", "mine.txt"),
    "a folder on the way": ("sub", "../outside", "sub/mine.txt"),
    "the folder itself": (".", "outside", "mine.txt"),
}


@pytest.mark.posix
@pytest.mark.parametrize("what", FLIPS)
def test_what_flips_to_a_link_while_it_is_read_lets_nothing_out(what: str, place: Path) -> None:
    """Another program replaces it by a link, again and again."""
    name, target, source = FLIPS[what]
    real, aside = place if what == "the folder itself" else place / name, place.parent / "aside"

    def flip() -> None:
        real.rename(aside)
        real.symlink_to(target)
        real.unlink()
        aside.rename(real)

    read, refused = set[bytes](), 0
    with meanwhile(flip):
        for _ in range(100_000):
            try:
                read |= {file.content for file in attached([source], place)}
            except InvalidArguments:
                refused += 1
            if read and refused > 500:
                break
    assert refused
    assert read <= {b"mine"}
    assert [file.content for file in attached([source], place)] == [b"mine"]


@pytest.mark.posix
def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_the_limit(place: Path) -> None:
    """Its size before counts for nothing."""
    log = place / "log.txt"

    def grow() -> None:
        with log.open("wb", buffering=0) as file:
            for _ in range(40):
                file.write(bytes(MOST_BYTES // 20))

    sizes: list[int] = []
    with meanwhile(grow):
        for _ in range(40):
            with suppress(InvalidArguments):
                sizes += [len(file.content) for file in attached(["log.txt"], place)]
    assert all(size <= MOST_BYTES for size in sizes)
    assert "is too large" in refusal(place, "log.txt")


@pytest.mark.linux
def test_a_file_without_an_end_is_read_no_further_than_the_limit() -> None:
    """Its size is 0 for the system, as that of many files of /proc."""
    file = Path("/proc/self/pagemap")
    if not file.is_file():
        pytest.skip("there is no such file here")
    program = (
        "import resource; from pathlib import Path; from inkbox_mcp.toolkit.attached_files import attached\n"
        "import os; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "attached(['pagemap'], Path(f'/proc/{os.getpid()}'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "InvalidArguments: attachments.0: is too large" in ended.stderr
