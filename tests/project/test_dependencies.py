"""All that is installed and run is pinned and updated: packages by hash, actions by commit, images by version."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.posix

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
CHECKS, IMAGE, BUILD = ".ci/constraints.txt", "deploy/constraints.txt", "deploy/constraints-build.txt"

Pins = dict[str, list[tuple[Requirement, int]]]
"""By canonical name: what is pinned, and how many hashes stand with it; more than one where a marker decides."""


def pins(file: str) -> Pins:
    """Parse a file of pins."""
    found: Pins = {}
    for entry in re.split(r"\n(?! )", (ROOT / file).read_text(encoding="utf-8").strip()):
        if not entry.startswith("#"):
            words = re.split(r"\s*\\\n\s*", entry)
            assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in words[1:]), entry
            pin = Requirement(words[0])
            found.setdefault(canonicalize_name(pin.name), []).append((pin, len(words) - 1))
    return found


def wanted(*extras: str) -> list[Requirement]:
    """Return what pyproject.toml requires, with these extras and the extras that they name."""
    lines: list[str] = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        lines += EXTRAS[extra]
    found = [Requirement(line) for line in lines]
    own = [requirement for requirement in found if requirement.name == PROJECT["project"]["name"]]
    others = [requirement for requirement in found if requirement not in own]
    return others + [inner for each in own for inner in wanted(*each.extras)]


def version(pin: Requirement) -> str:
    """Return the version of a pin."""
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        (CHECKS, [*wanted("dev", "converters", "benchmarks"), *map(Requirement, PROJECT["build-system"]["requires"])]),
        (IMAGE, wanted("platform")),
        (BUILD, [Requirement(line) for line in PROJECT["build-system"]["requires"]]),
    ],
    ids=["checks", "image", "build"],
)
def test_every_dependency_is_pinned_within_its_range_and_hashed(file: str, requirements: list[Requirement]) -> None:
    """After a change of pyproject.toml, run `bash .ci/pin`."""
    pinned = pins(file)
    assert all(hashes for found in pinned.values() for _, hashes in found)
    for requirement in requirements:
        found = pinned.get(canonicalize_name(requirement.name), [])
        assert found, f"{file} lacks {requirement.name}: bash .ci/pin"
        for pin, _ in found:
            assert requirement.specifier.contains(version(pin)), f"{file}: {pin} is not {requirement}: bash .ci/pin"


def test_the_image_holds_what_was_tested() -> None:
    """The image installs the same versions as the checks."""
    checks = pins(CHECKS)
    for file in (IMAGE, BUILD):
        for name, found in pins(file).items():
            assert {version(pin) for pin, _ in found} <= {version(pin) for pin, _ in checks[name]}, name


def test_the_build_system_is_asked_for_once() -> None:
    """The pinned group and the checks use the requirements of [build-system]."""
    asked_for = PROJECT["build-system"]["requires"]
    assert PROJECT["dependency-groups"]["build"] == asked_for
    assert {*asked_for} <= {*EXTRAS["dev"]}


@pytest.mark.parametrize("file", [CHECKS, IMAGE, BUILD])
def test_pins_name_no_place(file: str) -> None:
    """The installer chooses the index, and paths of the machine that made the pins must not leak."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"://|^-|--(index|find|trusted|extra-index)|/(home|root|tmp|opt)/", text, re.MULTILINE)


def test_images_are_of_an_exact_version() -> None:
    """A foreign image needs three numbers or a digest; our own images are built here."""
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
    images: list[str] = [service["image"] for service in compose["services"].values()]
    (base,) = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    foreign = [image for image in images if not image.startswith("inkbox-mcp:")]
    assert len(foreign) == 2
    for image in [base, *foreign]:
        assert re.search(r":\d+\.\d+\.\d+(-\w+)*(-\w+)?$|@sha256:[0-9a-f]{64}$", image), image


def test_the_image_installs_nothing_without_a_hash() -> None:
    """The only exception is the project itself, whose wheel is built in the image."""
    text = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    for install in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) .*?(?=&&|$)", text, re.MULTILINE):
        assert "--require-hashes" in install or "--no-deps" in install, install
        assert "wheel" not in install.split()[1] or "--no-build-isolation" in install


@pytest.mark.parametrize(
    ("report", "status", "github", "passes"),
    [("{}", 0, "", True), ("{}", 0, "true", True), ("{}", 1, "", False), (None, 1, "", True), (None, 1, "true", False)],
    ids=["clean", "clean on GitHub", "findings", "no network", "no network on GitHub"],
)
def test_the_audit_fails_on_findings_and_is_skipped_aloud(
    report: str | None, status: int, github: str, passes: bool, tmp_path: Path
) -> None:
    """Without access to the advisory service the audit is skipped, except on GitHub, where it fails."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nstep audit\n" in script
    (audit,) = re.findall(r"^audit\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)
    program = tmp_path / "pip-audit"
    write = f"printf '%s' '{report}' > \"{tmp_path}/audit.json\"" if report else "echo no such host >&2"
    program.write_text(f"#!/bin/sh\n{write}\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"venv={tmp_path}\n{audit}\naudit"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_ACTIONS": github},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) == passes, ran.stderr
    assert ("SKIPPED" in ran.stdout) == (report is None)


def steps(node: Any) -> Iterable[str]:
    """Return every action that a workflow uses."""
    match node:
        case {"uses": str(action)}:
            yield action
        case dict():
            for value in node.values():  # pyright: ignore[reportUnknownVariableType]
                yield from steps(value)
        case list():
            for value in node:  # pyright: ignore[reportUnknownVariableType]
                yield from steps(value)
        case _:
            pass


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved to other code; a comment names the version of each commit. Workflows of our own have none."""
    for file in (ROOT / ".github/workflows").iterdir():
        text = file.read_text(encoding="utf-8")
        used = list(steps(yaml.safe_load(text)))
        actions = [action for action in used if not (action.startswith("./") and (ROOT / action).is_file())]
        assert actions
        for action in actions:
            assert re.search(rf"uses: {re.escape(action)} # v\d+\.\d+\.\d+$", text, re.MULTILINE), action
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action


def test_every_python_that_is_promised_is_tested() -> None:
    """The tests also run with the oldest Python and the oldest dependencies together."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    classifier = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    promised = [found[1] for line in PROJECT["project"]["classifiers"] if (found := classifier.fullmatch(line))]
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == promised
    assert {*workflow["jobs"]["elsewhere"]["strategy"]["matrix"]["python"]} <= {*promised}
    assert PROJECT["project"]["requires-python"] == f">={promised[0]}"
    assert f"python{promised[0]} -m venv" in (ROOT / ".ci/lowest").read_text(encoding="utf-8")


def test_jobs_may_only_read_and_must_end() -> None:
    """No job keeps its token for later steps, or runs for more than an hour. Those that publish may do that alone."""
    publishing = {
        "image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
        "pypi": {"id-token": "write"},
        "release": {"contents": "write"},
        "registry": {"id-token": "write"},
    }
    for file in (ROOT / ".github/workflows").iterdir():
        workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}
        assert "concurrency" in workflow
        for name, job in workflow["jobs"].items():
            assert job.get("permissions") == (publishing.get(name) if file.name == "release.yml" else None)
            if "uses" in job:
                continue
            assert job["timeout-minutes"] <= 60
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"] == {"persist-credentials": False}
                if (script := step.get("run", "").partition(" ")[0]).startswith(".ci/"):
                    assert os.access(ROOT / script, os.X_OK), script


def test_the_checks_build_what_is_published_and_measure_coverage() -> None:
    """The checks fail if the wheel cannot be installed or code has no tests."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nstep .ci/package\n" in script
    assert '\nstep pytest -n auto "${coverage[@]}"\n' in script
    assert "coverage=(--cov " in script
    assert PROJECT["tool"]["coverage"]["run"]["branch"]
    assert PROJECT["tool"]["coverage"]["report"]["fail_under"] >= 97


def test_hooks_are_pinned_by_commit_or_come_from_the_environment() -> None:
    """`pre-commit autoupdate --freeze` writes pins in this form."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    for repository in yaml.safe_load(text)["repos"]:
        if repository["repo"] == "local":
            assert all(hook["language"] == "system" for hook in repository["hooks"])
        else:
            assert re.search(rf"rev: {repository['rev']} # frozen: v", text)
            assert re.fullmatch(r"[0-9a-f]{40}", repository["rev"])


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        pytest.param("vendor.github-workflows", ".github/workflows/release.yml", marks=pytest.mark.slow),
    ],
)
def test_the_files_for_github_fit_their_schemas(schema: str, file: str) -> None:
    """GitHub may ignore a misspelt key without an error."""
    judge = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", schema]
    subprocess.run([*judge, str(ROOT / file)], check=True, stdout=subprocess.DEVNULL)
    broken = (ROOT / file).read_text(encoding="utf-8").replace("runs-on", "run-on").replace("schedule", "schedul")
    judged = subprocess.run([*judge, "-"], input=broken, text=True, capture_output=True, check=False)
    assert judged.returncode == 1


def test_whatever_is_pinned_is_kept_fresh() -> None:
    """Dependabot updates each file with pins, in its directory and ecosystem."""
    config = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))
    looked_at = {
        (update["package-ecosystem"], directory.strip("/"))
        for update in config["updates"]
        for directory in update.get("directories") or [update["directory"]]
    }
    for ecosystem, file in (
        *(("pip", file) for file in ("pyproject.toml", CHECKS, IMAGE, BUILD)),
        ("docker", "deploy/Dockerfile"),
        ("docker-compose", "deploy/compose.yaml"),
        ("pre-commit", ".pre-commit-config.yaml"),
    ):
        assert (ROOT / file).exists()
        assert (
            ecosystem,
            str(Path(file).parent).removeprefix(".") if "/" not in file else str(Path(file).parent),
        ) in looked_at
    assert ("github-actions", "") in looked_at
