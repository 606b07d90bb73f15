"""The layout of the code is the one that CONTRIBUTING.md shows and the linter of imports enforces."""

import ast
import inspect
import os
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType, ModuleType

import httpx2
import pytest

import inkbox_mcp
from inkbox_mcp import errors
from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY

ROOT = Path(__file__).parent.parent.parent
GUIDE = ROOT / "CONTRIBUTING.md"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))


(LAYERS,) = [contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"]


def children() -> list[ModuleType]:
    """Import the modules and packages directly below `inkbox_mcp`, from the top layer to the bottom."""
    names = [name for layer in LAYERS for name in layer.split(" | ")]
    assert sorted(names) == sorted(module.name for module in iter_modules(inkbox_mcp.__path__))
    return [import_module(f"inkbox_mcp.{name}") for name in names]


def chain() -> str:
    """Return the layers of imports as CONTRIBUTING.md shows them."""
    return f"`{' → '.join(LAYERS)}`\n"


def places() -> str:
    """Return a table of the packages and modules with the first sentence of each docstring."""
    rows = ["| where | what |", "| --- | --- |"]
    for module in children():
        name = module.__name__.removeprefix("inkbox_mcp.") + ("/" if hasattr(module, "__path__") else ".py")
        first = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ").removesuffix(".")
        rows.append(f"| `{name}` | {first} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(("part", "write"), [("layers", chain), ("packages", places)])
def test_the_guide_shows_the_layout(part: str, write: object) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write the table."""
    assert callable(write)
    rendered = f"<!-- {part} -->\n{write()}<!-- end -->"
    guide = GUIDE.read_text(encoding="utf-8")
    if UPDATE:
        guide = re.sub(rf"<!-- {part} -->.*?<!-- end -->", lambda _: rendered, guide, flags=re.DOTALL)
        GUIDE.write_text(guide, encoding="utf-8")
    assert rendered in guide


def test_the_rules_of_imports_cover_every_module() -> None:
    """A new module that no rule names could import anything."""
    names = {module.__name__ for module in children()}
    (sdk,) = [contract for contract in CONTRACTS if contract["id"] == "sdk"]
    (above,) = [contract for contract in CONTRACTS if contract["id"] == "sdk_above"]
    judged = {*sdk["source_modules"], *above["source_modules"]}
    free = {"inkbox_mcp.http", "inkbox_mcp.protocol", "inkbox_mcp.sandbox"}
    whole = {module for module in judged if module.count(".") == 1}
    assert names - whole - free == {"inkbox_mcp.commands", "inkbox_mcp.stdio"}
    parts = {
        f"{package}.{module.name}"
        for package in ("inkbox_mcp.commands", "inkbox_mcp.stdio")
        for module in iter_modules(import_module(package).__path__)
    }
    clients = {"commands.client_start", "commands.demo"}
    with_sdk = clients | {"commands.page", "stdio.recording", "stdio.sdk_streams", "stdio.serve", "stdio.threads"}
    assert parts - judged == {f"inkbox_mcp.{name}" for name in with_sdk}


def test_no_test_module_imports_another() -> None:
    """Nor a conftest. Code that several modules need is in `tests/support`."""
    imports = re.compile(r"^[ \t]*(?:from|import)[ \t]+tests\b(?:[^(\n]*\([^)]*\)|.*)", re.MULTILINE)
    assert imports.findall("from tests import (\n    a,\n)\n\n    import tests.b\n") == [
        "from tests import (\n    a,\n)",
        "    import tests.b",
    ]
    for file in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]:
        for found in imports.findall(file.read_text(encoding="utf-8")):
            assert not re.search(r"\b(conftest|test_\w+)", found), file


def test_what_answers_first_needs_the_standard_library_only() -> None:
    """A warm start runs it before any other module, so its imports must be fast."""
    names: set[str] = set()
    for module in ("stdio/warm_start.py", "cache/place.py"):
        source = (ROOT / "inkbox_mcp" / module).read_text(encoding="utf-8")
        imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
        names |= {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names | {"_blake2", "inkbox_mcp.cache.place"}


def test_the_tree_of_errors_is_the_one_that_its_docstring_draws() -> None:
    """Each class needs a row at its place in the tree."""
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in inspect.getdoc(errors).splitlines():  # pyright: ignore[reportOptionalMemberAccess]
        if found := re.match(r"(?:    )?([│├└─ ]*)([A-Z]\w+Error|[A-Z]\w+)(?:  |$)", line):
            if not drawn and found[2] != "InkboxError":
                continue
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else None
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.InkboxError)]
    assert drawn == {
        kind.__name__: None if kind is errors.InkboxError else kind.__bases__[0].__name__ for kind in kinds
    }


async def test_a_call_stops_where_the_guide_says() -> None:
    """A call first enters these functions in the order that CONTRIBUTING.md gives."""
    sentence = re.split(r"\.\s", GUIDE.read_text(encoding="utf-8").split("Follow a call in ")[1])[0]
    stops = re.findall(r"`([\w.]+)`", sentence)
    numbers = {"four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
    assert numbers[sentence.split(" ")[0]] == len(stops)
    visited: list[str] = []

    def visit(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_qualname
        if event == "call" and name in stops and name not in visited:
            visited.append(name)

    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", "status": "active"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=mailbox))
    service = Service(Settings.model_validate({"api_key": KEY, "api_generation": "spec"}), lambda: transport)
    async with service.tenants:
        sys.setprofile(visit)
        try:
            answer = await service.call(
                await service.discovery.find("get_mailbox", LOCAL), {"email_address": "a"}, LOCAL
            )
        finally:
            sys.setprofile(None)
    assert not answer.is_error
    assert visited == stops
