"""Saving files under names that strangers chose."""

import errno
import os
import stat
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from inkbox_mcp.errors import NotSaved
from inkbox_mcp.toolkit.file_names import MAX_BYTES, numbered, safe_name
from inkbox_mcp.toolkit.files import save
from tests.support.processes import PATIENCE


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("Rechnung März.pdf", "Rechnung März.pdf"),
        ("見積書.xlsx", "見積書.xlsx"),
        ("archive.tar.gz", "archive.tar.gz"),
        ("cafe\u0301.txt", "café.txt"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("..\\..\\evil.bat", "evil.bat"),
        ("a.txt:hidden.exe", "a.txt_hidden.exe"),
        ("C:evil.exe", "C_evil.exe"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("a\u200b\u2066b\u00ad.pdf\u200f", "ab.pdf"),
        ("a\nb\tc.txt", "a b c.txt"),
        (".bashrc", "bashrc"),
        ("...", "attachment"),
        ("", "attachment"),
        ("\u202e", "attachment"),
        ("evil.exe. . .", "evil.exe"),
        ("-rf", "rf"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("lpt\u00b3 .pdf", "_lpt\u00b3.pdf"),
        ("console.txt", "console.txt"),
        ("desktop.ini", "_desktop.ini"),
        ('<a>"b"|c?*.txt', "_a__b__c__.txt"),
        (f"{'x' * 300}.pdf", f"{'x' * 146}.pdf"),
        (f"{'é' * 300}.pdf", f"{'é' * 73}.pdf"),
        (f"a.{'x' * 300}", f"a.{'x' * 148}"),
    ],
)
def test_a_name_becomes_harmless_and_stays_readable(name: str, safe: str) -> None:
    """What a person sees is what the system acts on, and the extension is the true one."""
    assert safe_name(name) == safe
    assert safe_name(safe) == safe


def test_further_names_keep_the_extension_and_the_limit() -> None:
    """A number is put before the extension, at the cost of the rest."""
    assert list(islice(numbered("a.tar.gz"), 3)) == ["a.tar.gz", "a.tar (2).gz", "a.tar (3).gz"]
    for name in islice(numbered(safe_name("é" * 300 + ".pdf")), 20):
        assert name.endswith(".pdf")
        assert len(name.encode()) <= MAX_BYTES


def test_a_file_is_saved_for_its_user_only(tmp_path: Path) -> None:
    """Its content is whole, and nothing else is left."""
    place = save(tmp_path, "a.bin", b"\0\r\n" * 100_000)
    assert place == tmp_path / "a.bin"
    assert place.read_bytes() == b"\0\r\n" * 100_000
    if sys.platform != "win32":
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [place]


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    """Neither files nor folders nor links, also dangling ones."""
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a (2).txt").mkdir()
    assert save(tmp_path, "a.txt", b"new").name == "a (3).txt"
    assert (tmp_path / "a.txt").read_text() == "mine"


@pytest.mark.posix
def test_a_link_at_the_name_is_not_followed(tmp_path: Path) -> None:
    """Neither to an existing file nor to one that would be made."""
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    (folder / "a.txt").symlink_to(outside)
    (folder / "a (2).txt").symlink_to("/etc/passwd")
    assert save(folder, "a.txt", b"new") == folder / "a (3).txt"
    assert not outside.exists()


@pytest.mark.posix
@pytest.mark.parametrize("depth", [0, 1])
def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path, depth: int) -> None:
    """Nor is one on the way to it."""
    folder, other = tmp_path / "outer" / "inner", tmp_path / "other"
    folder.mkdir(parents=True)
    (other / "inner").mkdir(parents=True)
    replaced, target = (folder, other) if depth == 0 else (folder.parent, other)
    replaced.rename(tmp_path / "moved")
    replaced.symlink_to(target)
    with pytest.raises(NotSaved, match="a link or a file"):
        save(folder, "a.txt", b"new")
    assert [path.name for path in other.rglob("*")] == ["inner"]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    """It is not made anew."""
    with pytest.raises(NotSaved, match="no longer there"):
        save(tmp_path / "gone", "a.txt", b"new")
    assert not (tmp_path / "gone").exists()


def test_too_many_files_of_one_name_are_said(tmp_path: Path) -> None:
    """The search for a name ends, and nothing is left."""
    names = list(islice(numbered("a.txt"), 1000))
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(NotSaved, match="too many files of this name"):
        save(tmp_path, "a.txt", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {*names}


@pytest.mark.posix
def test_a_cut_write_leaves_nothing(tmp_path: Path) -> None:
    """A limit of the system ends the write in the middle, as a full disk does."""
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from inkbox_mcp.toolkit.files import save\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "save(Path(sys.argv[1]), 'a.txt', bytes(1_000_000))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "NotSaved: the file could not be saved: the file is larger than files there may be." in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix
def test_a_killed_write_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    """What is left of it does not look like an attachment."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from inkbox_mcp.toolkit.files import save\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
        "save(Path(sys.argv[1]), 'a.txt', bytes(1_000_000))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode < 0
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".inkbox-")
    assert left.name.endswith(".part")


@pytest.mark.posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    """The system's words, which have paths, are not repeated."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(NotSaved, match="the folder cannot be written to") as refused:
            save(tmp_path, "a.txt", b"new")
    finally:
        tmp_path.chmod(0o700)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.posix
def test_many_writers_of_one_name_lose_nothing(tmp_path: Path) -> None:
    """Each gets a file of its own, whole."""
    program = (
        "import sys; from pathlib import Path\n"
        "from inkbox_mcp.toolkit.files import save\n"
        "for number in range(20): save(Path(sys.argv[1]), 'a.txt', f'{sys.argv[2]}-{number}'.encode() * 1000)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), each]) for each in "xyz"]
    assert [process.wait(PATIENCE) for process in running] == [0, 0, 0]
    found = {path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {f"{each}-{number}".encode() * 1000 for each in "xyz" for number in range(20)}


@pytest.mark.posix
def test_a_file_system_without_second_names_for_files_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and some network shares have no hard links; there too, nothing is overwritten."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a.txt").write_text("mine")
    assert save(tmp_path, "a.txt", b"new") == tmp_path / "a (2).txt"
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert (tmp_path / "a (2).txt").read_bytes() == b"new"

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(NotSaved, match="cannot be written to"):
        save(tmp_path, "b.txt", b"new")
    assert len(list(tmp_path.iterdir())) == 2
