"""A server writes and deletes only its own files on a disk that it shares with other programs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from inkbox_mcp.cache.place import directory
from inkbox_mcp.cache.writing import MOST_KEPT, keep
from tests.support.alike import choices
from tests.support.processes import COMMAND, PATIENCE, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing is kept there")

HELLO = b'{"jsonrpc":"2.0","id":0,"method":"ping"}\n'
OWN = f"{7:032x}"
OTHER = f"{8:032x}"
ROOT = Path(__file__).parent.parent.parent


def serve(home: Path, **variables: str) -> None:
    """Start a server, send it a message that it records, and let it end."""
    command = [*COMMAND, "--sandbox", "--sandbox-db", ":memory:"]
    ended = subprocess.run(
        command, input=HELLO, capture_output=True, env=environment(home, **variables), timeout=PATIENCE, check=True
    )
    assert (ended.stdout.count(b"\n"), ended.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {}, "~/.cache/inkbox-mcp"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/inkbox-mcp"),
        ("darwin", {}, "~/Library/Caches/inkbox-mcp"),
    ],
)
def test_the_documents_say_where_the_cache_is(
    platform: str, variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECURITY.md for those who audit it, docs/clients.md for those who delete it."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in {"HOME": "/home/ann", **variables}.items():
        monkeypatch.setenv(name, value)
    assert directory() == place.replace("~", "/home/ann")
    told = "$XDG_CACHE_HOME" if variables else place
    assert f"`{told}`" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert variables or f"`{place}`" in (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")


def everything(place: Path) -> dict[str, int]:
    """Return all paths below a place, and their modes."""
    return {str(path.relative_to(place)): path.lstat().st_mode for path in place.rglob("*")}


def write(cache: Path) -> None:
    """Write one recording; a failure is ignored."""
    with suppress(OSError):
        keep(cache / "inkbox-mcp" / OWN / OTHER, b"content")


def foreign_names(cache: Path) -> Path:
    """Make a folder with our name, with files and folders that are not ours."""
    folder = cache / "inkbox-mcp"
    folder.mkdir(mode=0o700)
    for number in range(41):
        (folder / f"letter-{number}").touch(0o600)
        (folder / f"folder-{number}" / "below").mkdir(parents=True)
    return folder


def our_names_for_others_to_read(cache: Path) -> Path:
    """Make folders with our names but with permissions that this program never sets."""
    folder = cache / "inkbox-mcp"
    folder.mkdir(mode=0o700)
    for number in range(41):
        (folder / f"{number:032x}").mkdir(0o755)
        (folder / f"{number:032x}" / OWN).touch(0o600)
    return folder


def our_names_for_files(cache: Path) -> Path:
    """Make private files in place of folders."""
    folder = cache / "inkbox-mcp"
    folder.mkdir(mode=0o700)
    for number in range(41):
        (folder / f"{number:032x}").touch(0o600)
    return folder


@pytest.mark.parametrize(
    "make",
    choices(
        [foreign_names, our_names_for_others_to_read, our_names_for_files],
        {our_names_for_others_to_read, our_names_for_files},
    ),
)
def test_a_folder_of_somebody_else_loses_nothing(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """The server deletes old recordings when there are many, so each folder holds more than that."""
    folder = make(tmp_path)
    before = everything(folder)
    serve(tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert before.items() <= everything(folder).items()


def full(folder: Path) -> None:
    """Fill a folder with files that look exactly like ours."""
    folder.mkdir(mode=0o700)
    for number in range(100, 141):
        (folder / f"{number:032x}").mkdir(0o700)
        (folder / f"{number:032x}" / OWN).touch(0o600)


def linked_cache(place: Path) -> Path:
    """Make `inkbox-mcp` a link."""
    (place / "inkbox-mcp").symlink_to("elsewhere")
    return place


def linked_base(place: Path) -> Path:
    """Make XDG_CACHE_HOME a link."""
    (place / "elsewhere").rename(place / "inkbox-mcp")
    (place / "real").mkdir()
    (place / "inkbox-mcp").rename(place / "real" / "inkbox-mcp")
    (place / "link").symlink_to("real")
    return place / "link"


def linked_on_the_way(place: Path) -> Path:
    """Make a parent folder of XDG_CACHE_HOME a link."""
    (place / "real" / "cache").mkdir(parents=True)
    (place / "elsewhere").rename(place / "real" / "cache" / "inkbox-mcp")
    (place / "link").symlink_to(place / "real")
    return place / "link" / "cache"


def readable(place: Path) -> Path:
    """Make the folder readable for other users."""
    (place / "elsewhere").rename(place / "inkbox-mcp")
    (place / "inkbox-mcp").chmod(0o755)
    return place


def writable(place: Path) -> Path:
    """Make the folder writable for other users."""
    (place / "elsewhere").rename(place / "inkbox-mcp")
    (place / "inkbox-mcp").chmod(0o777)
    return place


def of_another_user(place: Path) -> Path:
    """Give the folder to another user."""
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    (place / "elsewhere").rename(place / "inkbox-mcp")
    os.chown(place / "inkbox-mcp", 12345, -1)
    return place


def a_file(place: Path) -> Path:
    """Make `inkbox-mcp` a file."""
    (place / "inkbox-mcp").write_text("mine")
    return place


def settings_linked(place: Path) -> Path:
    """Make the folder for these settings a link."""
    (place / "inkbox-mcp").mkdir(mode=0o700)
    (place / "inkbox-mcp" / OWN).symlink_to("../elsewhere")
    return place


def settings_writable(place: Path) -> Path:
    """Make the folder for these settings writable for other users."""
    (place / "inkbox-mcp" / OWN).mkdir(parents=True)
    (place / "inkbox-mcp").chmod(0o700)
    (place / "inkbox-mcp" / OWN).chmod(0o777)
    return place


@pytest.mark.parametrize(
    "arrange",
    [
        linked_cache,
        linked_base,
        linked_on_the_way,
        readable,
        writable,
        of_another_user,
        a_file,
        settings_linked,
        settings_writable,
    ],
)
def test_nothing_is_written_or_deleted_through_a_link_or_in_a_folder_that_is_not_private_and_ours(
    arrange: Callable[[Path], Path], tmp_path: Path
) -> None:
    """All names look like ours, so names alone must not decide."""
    full(tmp_path / "elsewhere")
    cache = arrange(tmp_path)
    before = everything(tmp_path)
    write(cache)
    assert everything(tmp_path) == before


@pytest.mark.slow
def test_a_server_whose_cache_is_a_link_deletes_and_records_nothing(tmp_path: Path) -> None:
    """The server still answers requests."""
    home = tmp_path / "home"
    home.mkdir()
    full(tmp_path / "elsewhere")
    (tmp_path / "inkbox-mcp").symlink_to("elsewhere")
    before = everything(tmp_path)
    serve(home, XDG_CACHE_HOME=str(tmp_path))
    assert everything(tmp_path) == before


def test_a_folder_that_is_given_up_loses_only_our_files(tmp_path: Path) -> None:
    """The folder stays if it has a foreign file, and neither a link nor its target is deleted."""
    folder = tmp_path / "inkbox-mcp"
    full(folder)
    oldest = folder / f"{100:032x}"
    (oldest / "letter").touch()
    (oldest / f"{1:032x}").symlink_to("/etc/hostname")
    (oldest / f"{2:032x}").mkdir(0o700)
    (oldest / f"{3:032x}").touch(0o644)
    os.utime(oldest, (1, 1))
    write(tmp_path)
    assert {path.name for path in oldest.iterdir()} == {"letter", f"{1:032x}", f"{2:032x}", f"{3:032x}"}
    assert len(list(folder.iterdir())) == MOST_KEPT + 1


def test_a_write_that_was_cut_short_is_cleaned_up_later_and_one_under_way_is_not(tmp_path: Path) -> None:
    """Only a file with our name is deleted, and only if it is too old to be in use."""
    write(tmp_path)
    folder = tmp_path / "inkbox-mcp" / OWN
    abandoned, under_way = (folder / f"{OTHER}.{number:016x}.new" for number in (1, 2))
    foreign = folder / "letter.new"
    for path in (abandoned, under_way, foreign):
        path.touch(0o600)
    for path in (abandoned, foreign):
        os.utime(path, (1, 1))
    write(tmp_path)
    assert {path.name for path in folder.iterdir()} == {OTHER, under_way.name, foreign.name}


def test_a_recording_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    """A folder already has the name of the recording."""
    in_its_place = tmp_path / "inkbox-mcp" / OWN / OTHER
    write(tmp_path)
    in_its_place.unlink()
    in_its_place.mkdir()
    write(tmp_path)
    assert list(in_its_place.parent.iterdir()) == [in_its_place]


def test_the_newest_recordings_stay(tmp_path: Path) -> None:
    """The time of the last write decides."""
    folder = tmp_path / "inkbox-mcp" / OWN
    write(tmp_path)
    now = time.time()
    for number in range(100, 120):
        (folder / f"{number:032x}").touch(0o600)
        os.utime(folder / f"{number:032x}", (now - number, now - number))
    write(tmp_path)
    assert {path.name for path in folder.iterdir()} == {OTHER, *(f"{number:032x}" for number in range(100, 115))}


def test_what_is_written_is_for_this_user_only(tmp_path: Path) -> None:
    """This includes every folder that is made for a recording, which shows a user's client, but not the key."""
    serve(tmp_path, INKBOX_API_KEY="ApiKey_x.top-secret")
    modes = {path: mode & 0o777 for path, mode in everything(tmp_path).items()}
    assert set(modes.values()) == {0o700, 0o600}
    assert len(modes) == 4
    (recording,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret" not in recording.read_bytes()


OPTIONS = [(), ("--sandbox",), ("--sandbox", "--sandbox-db", ":memory:")]


@pytest.mark.parametrize("options", choices(OPTIONS, OPTIONS[2:]), ids=str)
def test_a_home_that_does_not_exist_is_not_made(options: tuple[str, ...], tmp_path: Path) -> None:
    """The server needs no home. If the sandbox's file would be in it, one line reports the error."""
    home = tmp_path / "missing"
    ended = subprocess.run(
        [*COMMAND, *options], input=HELLO, capture_output=True, env=environment(home), timeout=PATIENCE, check=False
    )
    assert not home.exists()
    if options == ("--sandbox",):
        assert ended.returncode == 2
        assert ended.stderr.decode().startswith("inkbox-mcp: --sandbox-db: ")
        assert str(home) in ended.stderr.decode()
        assert len(ended.stderr.splitlines()) == 1
    else:
        assert (ended.returncode, ended.stderr, ended.stdout.count(b"\n")) == (0, b"", 1)
