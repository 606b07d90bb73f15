"""What installs the server in one click says the same everywhere: versions, names, addresses, settings and tools."""

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from packaging.requirements import Requirement
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import inkbox_mcp
from deploy.installers import project
from deploy.installers.__main__ import main
from deploy.installers.listings import LISTINGS, as_json, registry_entry
from inkbox_mcp.settings.sources import load
from tests.support.catalogue import IDENTITY, SPEC

ROOT = Path(__file__).parent.parent.parent
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a release publishes."""
    folder = tmp_path_factory.mktemp("installers")
    main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def bundle(built: Path) -> dict[str, bytes]:
    """The files of the bundle."""
    (path,) = built.glob("*.mcpb")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read(name: str) -> dict[str, Any]:
    """Read a JSON file of the repository."""
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_is_made_from_the_facts_of_the_project(name: str) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write it, after a change of the version, the address or the settings."""
    now = as_json(LISTINGS[name]())
    if UPDATE:
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(now, encoding="utf-8", newline="\n")
    assert (ROOT / name).read_text(encoding="utf-8") == now


def test_installers_agree_on_version_names_addresses_and_tools(bundle: dict[str, bytes]) -> None:
    """The files as they are kept and built are compared, and not the code that made them."""
    manifest = json.loads(bundle["manifest.json"])
    entry, plugin, extension = (
        read(name) for name in ("server.json", ".claude-plugin/plugin.json", "gemini-extension.json")
    )
    (listed,) = read(".claude-plugin/marketplace.json")["plugins"]
    python, archive, image = entry["packages"]
    requirements = tomllib.loads(bundle["pyproject.toml"].decode())

    versions = {each["version"] for each in (manifest, entry, plugin, extension, python, requirements["project"])}
    assert versions == {inkbox_mcp.__version__}
    names = {each["name"] for each in (manifest, plugin, extension, listed, requirements["project"])}
    assert names | {python["identifier"]} == {PROJECT["name"]}
    assert {each["description"] for each in (manifest, entry, plugin, extension, listed)} == {PROJECT["description"]}

    address: str = PROJECT["urls"]["Repository"]
    assert {manifest["repository"]["url"], entry["repository"]["url"], plugin["repository"]} == {address}
    owner, name = address.removeprefix("https://github.com/").split("/")
    tag = f"v{inkbox_mcp.__version__}"
    assert archive["identifier"] == f"{address}/releases/download/{tag}/{name}-{inkbox_mcp.__version__}.mcpb"
    assert image["identifier"] == f"ghcr.io/{owner}/{name}:{inkbox_mcp.__version__}"
    assert entry["name"] == f"io.github.{owner}/{name}"

    assert {tool["name"] for tool in manifest["tools"]} == {*SPEC, *IDENTITY}
    assert manifest["user_config"] == plugin["userConfig"]
    assert manifest["server"]["mcp_config"]["env"] == plugin["mcpServers"]["inkbox"]["env"]
    assert PROJECT["requires-python"] == manifest["compatibility"]["runtimes"]["python"]
    assert {manifest["license"], plugin["license"]} == {PROJECT["license"]}


def test_package_and_image_prove_whose_they_are() -> None:
    """The registry reads its name for the server in the package's README, and in a label of the image."""
    name = read("server.json")["name"]
    assert f"<!-- mcp-name: {name} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'io.modelcontextprotocol.server.name="{name}"' in (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")


def test_the_placeholder_of_an_owner_can_be_nobody() -> None:
    """Whoever could register it would get our users. A real owner's name has no two hyphens in a row."""
    named = re.findall(r"github\.com/([\w-]+)/inkbox-mcp", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert named == [project.OWNER]
    assert "--" in project.OWNER or re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", project.OWNER)


@pytest.mark.parametrize(
    ("name", "folder"),
    [(".claude-plugin/plugin.json", "${CLAUDE_PLUGIN_ROOT}"), ("gemini-extension.json", "${extensionPath}")],
)
def test_plugin_and_extension_run_the_code_beside_them(name: str, folder: str) -> None:
    """A package of some index is not used, so it does not matter who has its name there."""
    (server,) = read(name)["mcpServers"].values()
    assert [server["command"], *server["args"]] == ["uv", "run", "--project", folder, PROJECT["name"]]
    assert PROJECT["name"] in PROJECT["scripts"]


def test_the_bundle_holds_the_package_and_what_starts_it(bundle: dict[str, bytes]) -> None:
    """Every file of the package is there as it is here; nothing else is."""
    code = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "inkbox_mcp").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name: bundle[name] for name in bundle if name.startswith("inkbox_mcp/")} == code
    assert bundle.keys() - code == {"manifest.json", "pyproject.toml", "server.py", "icon.png", "LICENSE"}
    assert json.loads(bundle["manifest.json"])["server"]["entry_point"] in bundle


def test_the_bundle_requires_what_the_package_requires_in_the_tested_versions(bundle: dict[str, bytes]) -> None:
    """Each requirement has a constraint to one version, where a marker does not decide."""
    requirements = tomllib.loads(bundle["pyproject.toml"].decode())
    assert requirements["project"]["dependencies"] == PROJECT["dependencies"]
    assert requirements["project"]["requires-python"] == PROJECT["requires-python"]
    pins = [Requirement(line) for line in requirements["tool"]["uv"]["constraint-dependencies"]]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    pinned = (ROOT / "deploy/constraints.txt").read_text(encoding="utf-8")
    assert len(pins) == len(re.findall(r"^[a-z0-9]", pinned, re.MULTILINE))
    assert {Requirement(line).name for line in PROJECT["dependencies"]} <= {pin.name for pin in pins}


@pytest.mark.slow
def test_the_same_code_makes_the_same_bundle(built: Path, tmp_path: Path) -> None:
    """Its checksum is published, so anybody can build it again and compare."""
    main([str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in built.iterdir()}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (built / path.name).read_bytes(), path.name


def test_the_icon_is_a_square_of_512_pixels(bundle: dict[str, bytes]) -> None:
    """It is a whole PNG, has transparent corners, and more than one colour inside."""
    icon = bundle["icon.png"]
    assert icon.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">IIBB", icon[16:26]) == (512, 512, 8, 6)
    start = icon.index(b"IDAT")
    (length,) = struct.unpack(">I", icon[start - 4 : start])
    pixels = zlib.decompress(icon[start + 4 : start + 4 + length])
    assert len(pixels) == 512 * (1 + 512 * 4)
    row = 1 + 512 * 4
    middle = pixels[256 * row + 1 : 257 * row]
    assert pixels[4] == 0
    assert middle[3] == 255
    assert len({middle[at : at + 3] for at in range(0, len(middle), 4)}) > 3


@pytest.mark.parametrize("chosen", [{}, {"sandbox": True}, {"read_only": True, "confirm": "always"}])
def test_every_choice_in_the_form_is_understood(
    chosen: dict[str, Any], bundle: dict[str, bytes], tmp_path: Path
) -> None:
    """A field that is left alone has a default, because a host would leave its placeholder as it stands."""
    manifest = json.loads(bundle["manifest.json"])
    defaults = {name: field["default"] for name, field in manifest["user_config"].items()}
    values = {name: str(value).lower() for name, value in (defaults | chosen).items()}
    variables = {
        name: re.sub(r"\$\{user_config\.(\w+)\}", lambda found: values[found[1]], value)
        for name, value in manifest["server"]["mcp_config"]["env"].items()
    }
    settings = load({}, variables, tmp_path / "config")
    assert settings.api_key is None
    shown = {name: getattr(settings, name) for name in defaults.keys() - {"api_key"}}
    assert shown == {"sandbox": False, "read_only": False, "confirm": "auto"} | chosen


def test_the_extension_asks_for_nothing_that_must_be_answered(tmp_path: Path) -> None:
    """Its settings are empty until somebody sets them, and the server starts with that."""
    extension = read("gemini-extension.json")
    (server,) = extension["mcpServers"].values()
    asked = [setting["envVar"] for setting in extension["settings"]]
    assert server["env"] == {variable: f"${{{variable}:-}}" for variable in asked}
    assert not load({}, dict.fromkeys(asked, ""), tmp_path / "config").sandbox
    assert [setting["envVar"] for setting in extension["settings"] if setting["sensitive"]] == ["INKBOX_API_KEY"]


class Strict(BaseModel):
    """An object of the registry's entry, without unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Stdio(Strict):
    """How a client speaks with the package."""

    type: Literal["stdio"]


class Variable(Strict):
    """An environment variable."""

    name: Annotated[str, Field(pattern=r"^INKBOX_")]
    description: str
    format: Literal["string", "number", "boolean", "filepath"]
    is_required: Annotated[bool, Field(alias="isRequired")]
    is_secret: Annotated[bool, Field(alias="isSecret")] = False
    default: str | None = None


class Package(Strict):
    """A way to get the server."""

    kind: Annotated[Literal["pypi", "mcpb", "oci"], Field(alias="registryType")]
    base: Annotated[Literal["https://pypi.org"] | None, Field(alias="registryBaseUrl")] = None
    identifier: str
    version: str | None = None
    sha256: Annotated[str | None, Field(alias="fileSha256", pattern=r"^[a-f0-9]{64}$")] = None
    hint: Annotated[Literal["uvx", "docker"] | None, Field(alias="runtimeHint")] = None
    transport: Stdio
    variables: Annotated[list[Variable], Field(alias="environmentVariables")] = []


class Repository(Strict):
    """Where the source is."""

    url: Annotated[str, Field(pattern=r"^https://github\.com/")]
    source: Literal["github"]


class Entry(Strict):
    """What of the registry's schema of 2025-12-11 is used here; unlike the schema, it refuses what it does not know."""

    schema_: Annotated[
        Literal["https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"], Field(alias="$schema")
    ]
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", min_length=3, max_length=200)]
    title: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[str, Field(max_length=255, pattern=r"^\d+\.\d+\.\d+")]
    repository: Repository
    packages: list[Package]


def test_the_registry_entry_has_the_form_that_the_registry_takes(built: Path) -> None:
    """The schema itself is asked for in `.ci/package`; this holds without a network, and finds misspelt fields."""
    for path in (ROOT / "server.json", built / "server.json"):
        Entry.model_validate_json(path.read_text(encoding="utf-8"))
    misspelt = registry_entry()
    misspelt["packages"][0]["runtimehint"] = "uvx"
    with pytest.raises(ValidationError):
        Entry.model_validate(misspelt)


def test_the_published_entry_has_the_checksum_of_the_bundle(built: Path) -> None:
    """Clients compare it before they install; the entry in the repository cannot know it."""
    (line,) = (path.read_text(encoding="utf-8") for path in built.glob("*.sha256"))
    published = json.loads((built / "server.json").read_text(encoding="utf-8"))
    checksum = published["packages"][1].pop("fileSha256")
    assert published == read("server.json")
    (path,) = built.glob("*.mcpb")
    assert line == f"{checksum}  {path.name}\n"


@pytest.mark.posix
@pytest.mark.parametrize(
    ("entry", "github", "passes"),
    [("{}", "", True), ('{"name": 1}', "", False), (None, "", True), (None, "true", False)],
    ids=["fits", "does not fit", "no network", "no network on GitHub"],
)
def test_an_entry_that_does_not_fit_the_schema_stops_the_checks(
    entry: str | None, github: str, passes: bool, tmp_path: Path
) -> None:
    """Without a network the check is skipped aloud, except on GitHub, where it fails."""
    script = (ROOT / ".ci/package").read_text(encoding="utf-8")
    assert "\nstep registry_schema\n" in script
    (check,) = re.findall(r"^registry_schema\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)
    curl = tmp_path / "curl"
    schema = '{"properties": {"name": {"type": "string"}}}'
    told = f'test "${{@: -1}}" = "{read("server.json")["$schema"]}" || exit 9'
    write = f"printf '%s' '{schema}' > \"{tmp_path}/server.schema.json\"" if entry else "exit 6"
    curl.write_text(f"#!/bin/bash\n{told}\n{write}\n", encoding="utf-8")
    curl.chmod(0o755)
    (tmp_path / "installers").mkdir()
    (tmp_path / "installers" / "server.json").write_text(entry or "{}", encoding="utf-8")
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"work={tmp_path}\n{check}\nregistry_schema"],
        cwd=ROOT,
        env={"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}", "GITHUB_ACTIONS": github},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) == passes, ran.stdout + ran.stderr
    assert ("NOT CHECKED" in ran.stdout) == (entry is None)
