"""Every block that a user pastes into a client is read here as its client reads it, and is about this server.

`UPDATE_SNAPSHOTS=1` writes the blocks. `tests/conformance/test_clients.py` runs them in the clients.
"""

import ast
import base64
import json
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import yaml

from inkbox_mcp import RELEASED, install_line
from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.settings.options import Settings, options
from inkbox_mcp.settings.sources import load
from tests.support import clients
from tests.support.agents import KEY
from tests.support.clients import CLIENTS, WAYS, Way
from tests.support.processes import serve_http

ROOT = Path(__file__).parent.parent.parent
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
PUBLISHED = re.compile(r"(uvx|uv tool install|uv pip install|pipx install|pipx run|pip install) +('|\")?inkbox[-_]mcp")
"""An install line that fetches our name from PyPI."""

each_client = pytest.mark.parametrize("client", CLIENTS)
both_forms = pytest.mark.parametrize("released", [False, True], ids=["clone", "released"])


def flat(value: Any) -> list[Any]:
    """Return all words of a parsed block, without the structure that only its client knows."""
    if isinstance(value, dict):
        return [word for pair in cast("dict[Any, Any]", value).items() for part in pair for word in flat(part)]
    if isinstance(value, list):
        return [word for part in cast("list[Any]", value) for word in flat(part)]
    return [value]


def parsed(block: clients.Block) -> list[Any]:
    """Parse a block by the rules of its language; return its words."""
    match block.language:
        case "json":
            return flat(json.loads(block.text))
        case "toml":
            return flat(tomllib.loads(block.text))
        case "yaml":
            return flat(yaml.safe_load(block.text))
        case "sh":
            return [word for part in shlex.split(block.text.replace("\\\n", "")) for word in part.split("=")]
        case _:
            tree = ast.parse(block.text)
            compile(tree, "block", "exec")
            return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]


@pytest.mark.parametrize("file", clients.regions())
def test_the_documents_have_the_blocks(file: str) -> None:
    """They are written in one place, for as long as the package is not released in the form for a clone."""
    path = ROOT / file
    written = clients.filled(text := path.read_text(encoding="utf-8"), clients.regions()[file])
    if UPDATE:
        path.write_text(written, encoding="utf-8")
    assert UPDATE or text == written


def test_the_example_has_the_block_of_claude_desktop() -> None:
    """Users copy the file."""
    path = ROOT / "claude_desktop_config.example.json"
    if UPDATE:
        path.write_text(clients.desktop_example(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == clients.desktop_example()


def test_no_document_installs_from_where_the_name_is_not_ours() -> None:
    """Whoever registered the name would get our users."""
    for path in [*DOCUMENTS, *(ROOT / "inkbox_mcp").rglob("*.py")]:
        if path == ROOT / "inkbox_mcp" / "__init__.py":
            continue  # it has the switch
        assert RELEASED or not PUBLISHED.search(path.read_text(encoding="utf-8")), path.name


def test_one_switch_writes_all_install_lines() -> None:
    """Where the form for a clone stands, the released one installs by name, and none is left behind."""
    for file, parts in clients.regions(released=True).items():
        released = clients.filled((ROOT / file).read_text(encoding="utf-8"), parts)
        assert PUBLISHED.search(released)
        assert file != "README.md" or len(released.splitlines()) < 250
        assert not re.search(r"install( --\w+)? \.(?!\w)", released.replace(".venv/bin/pip install .", ""))
        assert clients.filled(released, clients.regions(released=False)[file]) != released


def test_an_extra_is_installed_from_where_the_package_came() -> None:
    """The server itself says how, when an option needs one."""
    assert not PUBLISHED.search(install_line("metrics", released=False))
    assert PUBLISHED.search(install_line("metrics", released=True))


@each_client
@both_forms
@pytest.mark.parametrize("way", ["account", "sandbox"])
def test_a_block_starts_this_server(client: str, way: Way, released: bool) -> None:
    """It has our command with options that exist, and variables that the server reads."""
    words = parsed(clients.block(client, way, released=released))
    command, arguments = clients.launch(released=released)
    assert [word for word in (command, *arguments) if word not in words] == []
    flags = [word for word in words if isinstance(word, str) and re.fullmatch(r"--[a-z-]+", word)]
    flags = [flag for flag in flags if flag not in {"--", "--scope", "--env"}]  # those of `claude mcp add`
    assert flags == ([clients.SANDBOX] if way == "sandbox" else [])
    assert server_parser("", "").choose(flags) == ({"sandbox": True} if flags else {})
    ours = {word for word in words if isinstance(word, str) and re.fullmatch(r"INKBOX_\w+", word)}
    assert ours == ({clients.KEY_VARIABLE} if way == "account" else set())
    assert ours <= {option.environment for option in options()}


@each_client
def test_a_block_over_http_has_our_path_and_header(client: str) -> None:
    """The server knows no other path, and refuses requests without the header."""
    words = parsed(clients.block(client, "http"))
    assert clients.URL in words
    text = clients.block(client, "http").text
    if client != "Codex":  # it makes the header itself
        assert "Authorization" in text
        assert "Bearer " in text
    assert {clients.TOKEN, clients.TOKEN_VARIABLE, "inkbox-token"} & set(re.findall(r"[\w-]+", text))
    port = Settings.model_fields["port"].default
    assert f"http://{Settings.model_fields['host'].default}:{port}/mcp" == clients.URL


def test_the_variable_of_clients_keeps_no_server_from_starting(tmp_path: Path) -> None:
    """Some clients pass their whole environment on to servers that they start."""
    load({}, {clients.TOKEN_VARIABLE: "t" * 32}, tmp_path / "none")


@each_client
def test_the_page_has_a_section_for_the_client(client: str) -> None:
    """It says where the file is and what to know, and is in the contents."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    before, _, after = sections[client].partition(f"<!-- blocks: {client} -->")
    assert before.strip()
    assert after.partition("To know:\n\n")[2].startswith("- ")
    assert f"[{client}](#{client.lower().replace(' ', '-')})" in PAGE
    assert [f"{clients.TITLES[way]}:\n\n```" in after for way in WAYS] == [True] * len(WAYS)


def test_every_link_inside_the_page_leads_to_a_heading() -> None:
    """A reader jumps from the contents."""
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


def test_every_option_that_the_page_names_exists() -> None:
    """Flags of other programs are in their own lines."""
    flags = {option.flag for option in options()}
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    named = set(re.findall(r"`(--[a-z-]+)(?: \w+)?`", prose)) - {"--"}
    assert named - {"--scope"} <= flags
    assert "`X-Inkbox-API-Key`" in prose
    assert set(re.findall(r"INKBOX_MCP_\w+", PAGE)) <= {option.environment for option in options()}
    confirm = re.findall(r"--confirm (\w+)", PAGE)
    assert set(confirm) <= set(get_args(Settings.model_fields["confirm"].annotation))


@both_forms
def test_the_button_of_cursor_decodes_to_its_block(released: bool) -> None:
    """The link has the entry without its name, in Base64."""
    link = urlsplit(clients.cursor_link(released=released))
    query = parse_qs(link.query)
    assert (link.scheme, link.netloc, query["name"]) == ("https", "cursor.com", [clients.NAME])
    block = json.loads(clients.block("Cursor", "account", released=released).text)
    assert json.loads(base64.b64decode(query["config"][0], validate=True)) == block["mcpServers"][clients.NAME]


@both_forms
def test_the_button_of_vscode_decodes_to_its_block(released: bool) -> None:
    """The link has the entry and what is asked for, as JSON."""
    link = urlsplit(clients.vscode_link(released=released))
    query = parse_qs(link.query)
    assert (link.netloc, link.path, query["name"]) == (
        "insiders.vscode.dev",
        "/redirect/mcp/install",
        [clients.NAME],
    )
    block = json.loads(clients.block("VS Code", "account", released=released).text)
    assert json.loads(query["config"][0]) == block["servers"][clients.NAME]
    assert json.loads(query["inputs"][0]) == block["inputs"]


def shell(document: str, after: str) -> str:
    """Return the first shell block after some words."""
    return document.partition(after)[2].split("```sh\n", 1)[1].split("```")[0]


async def run_shell(script: str, origin: str, **variables: str) -> str:
    """Run the lines of a document against a running server; return what they print."""
    script = script.replace("http://127.0.0.1:8000", origin)
    environment = {"PATH": os.environ["PATH"], **variables}
    with anyio.fail_after(30):
        done = await anyio.run_process(["bash", "-euc", script], env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.linux
async def test_the_page_serves_and_connects_over_http(tmp_path: Path) -> None:
    """The request works against the server that the lines before it start."""
    serving = shell(PAGE, "## Over HTTP").splitlines()[-1]
    variables = dict(word.split("=", 1) for word in shlex.split(serving) if "=" in word)
    command, arguments = clients.launch("--http")
    assert shlex.split(serving)[len(variables) :] == [command, *arguments]
    assert set(variables) == {"INKBOX_MCP_TOKEN", clients.KEY_VARIABLE}
    variables["INKBOX_MCP_TOKEN"] = token = "t" * 64
    curl = shell(PAGE, "Try it:")
    async with serve_http("--sandbox", "--sandbox-db", ":memory:", home=tmp_path, **variables) as (_, origin):
        answer = await run_shell(curl, origin, **{clients.TOKEN_VARIABLE: token})
        assert '"serverInfo"' in answer
        assert "invalid_token" in await run_shell(curl, origin, **{clients.TOKEN_VARIABLE: "wrong"})


@pytest.mark.slow
@pytest.mark.linux
async def test_the_curl_of_operating_works_against_what_it_deploys(tmp_path: Path) -> None:
    """The token comes from the Secret, the options from the image and the ConfigMap."""
    operating = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    kubernetes = (ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")
    (config,) = [each for each in yaml.safe_load_all(kubernetes) if each and each["kind"] == "ConfigMap"]
    lines = shell(operating, "Does it work?")
    forward, rest = re.split(r"\n(?=curl)", lines, maxsplit=1)
    assert "port-forward deployment/inkbox-mcp 8000 &" in forward
    assert "get secret inkbox-mcp --output jsonpath='{.data.INKBOX_MCP_TOKEN}' | base64 --decode)" in forward
    assert '--from-literal=INKBOX_MCP_TOKEN="$(' in kubernetes
    token = "t" * 64
    variables = {**config["data"], "INKBOX_MCP_TOKEN": token, "INKBOX_MCP_REQUEST_STATE_KEYS": "s" * 64}
    flags = ["--host", "0.0.0.0", "--stateless", "--metrics", "--sandbox", "--sandbox-db", ":memory:"]
    assert f"`--http {' '.join(flags[2:4])} " in operating  # Kubernetes'
    async with serve_http(*flags, home=tmp_path, **variables) as (_, origin):
        origin = origin.replace("0.0.0.0", "127.0.0.1")
        answer = await run_shell(rest, origin, INKBOX_MCP_TOKEN=token, INKBOX_API_KEY=KEY)
    assert '{"status":"ready","inkbox":"sandbox"}' in answer
    assert '"isError":false' in answer
