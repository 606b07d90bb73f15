"""The distributions: the sdist has all files of the repository, the wheel only the package."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


def files_below(folder: str) -> set[str]:
    """Return the files of a folder of this checkout, named as in archives."""
    found = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_holds_the_package_and_its_metadata(built: Path) -> None:
    """It has the marker for types, but no tests, documents or other package."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {*archive.namelist()}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == files_below("inkbox_mcp")
    assert "inkbox_mcp/py.typed" in names
    assert {name.partition(".dist-info/")[2] for name in metadata} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_sdist_holds_what_is_kept_here(built: Path) -> None:
    """A packager can run the tests from it; files that git ignores are left out."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if kept.returncode:
        pytest.skip("NOT CHECKED: this is no checkout, and nothing else knows what is kept")
    here = {name for name in kept.stdout.splitlines() if (ROOT / name).exists()}
    assert names == here | {"PKG-INFO"}
