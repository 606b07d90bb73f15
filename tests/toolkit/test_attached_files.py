"""Reading what is attached to a mail."""

import base64
import hashlib
import os
from pathlib import Path

import pytest

from inkbox_mcp.errors import InvalidArguments, NotConfigured
from inkbox_mcp.toolkit.attached_files import MOST_BYTES, AttachedFile, attached
from inkbox_mcp.toolkit.data_urls import MAX_DATA
from inkbox_mcp.toolkit.file_names import MAX_NAME, content_type_of
from inkbox_mcp.toolkit.files import save


def url(name: str, content: bytes = b"x") -> str:
    """Write a data: URL."""
    return f"data:;name={name};base64,{base64.b64encode(content).decode()}"


def refusal(folder: Path | None, *sources: str) -> str:
    """Return the error about sources."""
    with pytest.raises(InvalidArguments) as caught:
        attached(sources, folder)
    return str(caught.value)


def test_files_are_read_by_relative_and_absolute_paths(tmp_path: Path) -> None:
    """The last part of the path is the name, and stands for the type."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "below" / "Report 1.CSV").write_bytes(b"a,b\r\n")
    (tmp_path / "empty").touch()
    found = attached(["./in/below/Report 1.CSV", str(tmp_path / "empty"), url("n.pdf", b"")], tmp_path)
    assert found == [
        AttachedFile("Report 1.CSV", "text/csv", b"a,b\r\n", hashlib.sha256(b"a,b\r\n").hexdigest()),
        AttachedFile("empty", "application/octet-stream", b"", hashlib.sha256(b"").hexdigest()),
        AttachedFile("n.pdf", "application/pdf", b"", hashlib.sha256(b"").hexdigest()),
    ]
    assert attached([], None) == []


def test_what_get_attachment_saved_can_be_sent(tmp_path: Path) -> None:
    """Whatever its name was, the path in the result is the one to pass."""
    for name in ("bill.pdf", ".bashrc", "a:b?.txt", "CON", "Ünï.txt", "x" * 300, "\u202e.png"):
        path = save(tmp_path, name, name.encode())
        (file,) = attached([str(path)], tmp_path)
        assert (file.filename, file.content) == (path.name, name.encode())


def test_names_that_people_give_are_taken(tmp_path: Path) -> None:
    """Also those that programs make, with blanks of other widths."""
    for name in ("Screenshot at 9.41.00\u202fAM.png", "-draft.txt", "日本語.pdf", "👨‍👩‍👧.jpg", "a~.txt", "é" * 120):
        (tmp_path / name).touch()
        assert attached([name], tmp_path)[0].filename == name


def test_without_a_folder_only_urls_are_attached() -> None:
    """The error says both ways out."""
    assert attached([url("a.txt")], None)[0].content == b"x"
    with pytest.raises(NotConfigured) as caught:
        attached([url("a.txt"), "b.txt"], None)
    told = caught.value.explain("send_message")
    for part in ("no folder for attachments", "data:text/csv;name=report.csv;base64,", "--attachments-dir", "100,000"):
        assert part in told


def test_every_source_that_cannot_be_attached_is_named(tmp_path: Path) -> None:
    """The model corrects all of them at once."""
    (tmp_path / "good.txt").touch()
    (tmp_path / "Setup.EXE").touch()
    (tmp_path / "folder.d").mkdir()
    sources = ["gone.txt", "good.txt", "Setup.EXE", "folder.d", "../good.txt", "GOOD.txt", url("good.txt")]
    told = refusal(tmp_path, *sources)
    for part in (
        "attachments.0: is no file in the folder for attachments",
        "attachments.2: is of a type that Inkbox does not send",
        "attachments.3: is a folder, a device or a pipe",
        "attachments.4: must be a file in the folder for attachments",
        "attachments.6: has the same name as another attachment",
    ):
        assert part in told
    assert "attachments.1" not in told
    assert str(tmp_path) not in told


@pytest.mark.parametrize("name", ["a.exe", "a.pdf.BAT", "a.scr", "a.ｅｘｅ"])
def test_programs_are_not_attached(name: str, tmp_path: Path) -> None:
    """Inkbox refuses them by their names."""
    (tmp_path / name).touch()
    assert "does not send" in refusal(tmp_path, name)
    assert "does not send" in refusal(None, url(name))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Inkbox finds attachments by their names, so a recipient could get only one of them."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "é.txt").touch()
    (tmp_path / "two" / "E\u0301.TXT").touch()
    assert "attachments.1: has the same name" in refusal(tmp_path, "one/é.txt", "two/E\u0301.TXT")
    assert "attachments.1: has the same name" in refusal(tmp_path, "one/é.txt", "one/é.txt")


@pytest.mark.posix
def test_the_limit_is_of_all_attachments_together(tmp_path: Path) -> None:
    """A file that is too large is not read: its size says so."""
    half = MOST_BYTES // 2
    for name, size in (("a", half), ("b", half), ("c", 1), ("large", MOST_BYTES + 1), ("endless", 10**13)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    assert sum(len(file.content) for file in attached(["a", "b"], tmp_path)) == MOST_BYTES
    assert "attachments.2: is too large: the attachments of a message may have 18,000,000" in refusal(
        tmp_path, "a", "b", "c"
    )
    assert "attachments.2: is too large" in refusal(tmp_path, "a", "b", url("d"))
    assert refusal(tmp_path, "large", "endless").count("is too large") == 2


@pytest.mark.posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The system's words, which have paths, are not repeated."""
    (tmp_path / "a.txt").touch(0o000)
    told = refusal(tmp_path, "a.txt")
    assert "attachments.0: cannot be read by this server" in told
    assert str(tmp_path) not in told


def test_a_folder_that_is_gone_holds_no_files(tmp_path: Path) -> None:
    """It is like a file that is not there."""
    assert "is no file in the folder" in refusal(tmp_path / "gone", "a.txt")


def test_many_problems_fit_into_a_short_error(tmp_path: Path) -> None:
    """At most ten are named."""
    told = refusal(tmp_path, *["x" * MAX_NAME] * 64)
    assert told.count("attachments.") == 10
    assert told.endswith("and 54 more.")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain"),
        ("A.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.ics", "text/calendar"),
        ("a.unknown", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("a.Z", "application/octet-stream"),
    ],
)
def test_the_name_stands_for_a_type(name: str, kind: str) -> None:
    """Files of the system that say something else are not read."""
    assert content_type_of(name) == kind


def test_a_large_file_in_a_url_is_no_attachment() -> None:
    """The type of the argument refuses it too."""
    assert "may have 100,000" in refusal(None, url("a", bytes(MAX_DATA + 1)))
