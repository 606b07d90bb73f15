"""How each client is told about this server: the one source of the blocks in README.md and docs/clients.md.

Until `inkbox_mcp.RELEASED`, each line is for a clone.
`UPDATE_SNAPSHOTS=1 pytest tests/project/test_clients.py` writes the documents.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from string import Template
from typing import Any, Literal, get_args
from urllib.parse import quote

from deploy.installers.project import BUNDLE, BUNDLE_URL, OWNER, REPOSITORY
from deploy.installers.project import NAME as PROJECT_NAME
from inkbox_mcp import RELEASED
from tests.support.framework_blocks import FRAMEWORKS, Templates

NAME = "inkbox"
COMMAND = "inkbox-mcp"
KEY_VARIABLE = "INKBOX_API_KEY"
KEY = "ApiKey_..."
SANDBOX = "--sandbox"
URL = "http://127.0.0.1:8000/mcp"
TOKEN_VARIABLE = "INKBOX_CLIENT_TOKEN"  # not INKBOX_MCP_TOKEN: without --http, a server that inherits it warns
TOKEN = "the-token"

Way = Literal["account", "sandbox", "http"]
WAYS: tuple[Way, ...] = get_args(Way)
TITLES = {"account": "With your key", "sandbox": "On the sandbox", "http": "Over HTTP"}

Entry = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """A piece of code in a document: the language of its fence, and its text."""

    language: str
    text: str

    def fenced(self) -> str:
        """Return it as Markdown."""
        return f"```{self.language}\n{self.text.strip()}\n```\n"


def launch(*options: str, released: bool = RELEASED) -> tuple[str, list[str]]:
    """Return the command that starts the server, and its arguments."""
    return ("uvx", [COMMAND, *options]) if released else (COMMAND, [*options])


def started(way: Way, *, released: bool, full: bool = False) -> Entry:
    """Return `command`, `args` and `env` of a server that a client starts; `full` has also what is empty."""
    command, args = launch(*[SANDBOX] if way == "sandbox" else [], released=released)
    entry: Entry = {"command": command}
    if args or full:
        entry["args"] = args
    if way == "account":
        entry["env"] = {KEY_VARIABLE: KEY}
    return entry


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request."""
    return {"Authorization": f"Bearer {token}"}


def as_json(value: Any) -> str:
    """Return a value as a person would write it, with short lists on one line."""
    text = json.dumps(value, indent=2)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def _json(key: str, entry: Callable[[Way, bool], Entry]) -> Callable[[Way, bool], Block]:
    def block(way: Way, released: bool) -> Block:
        return Block("json", as_json({key: {NAME: entry(way, released)}}))

    return block


def _entry(remote: Entry) -> Callable[[Way, bool], Entry]:
    def entry(way: Way, released: bool) -> Entry:
        return remote if way == "http" else started(way, released=released)

    return entry


def _claude_desktop(way: Way, released: bool) -> Entry:
    if way != "http":
        return started(way, released=released)
    # The app splits arguments at blanks on Windows, so the blank of the header is in the variable.
    args = ["-y", "mcp-remote", URL, "--header", "Authorization:${AUTHORIZATION}"]
    return {"command": "npx", "args": args, "env": {"AUTHORIZATION": f"Bearer {TOKEN}"}}


def _claude_code(way: Way, released: bool) -> Block:
    if way == "http":
        header = f"Authorization: Bearer ${{{TOKEN_VARIABLE}}}"
        return Block("sh", f"claude mcp add --scope user --transport http {NAME} {URL} \\\n  --header '{header}'")
    command, args = launch(*[SANDBOX] if way == "sandbox" else [], released=released)
    key = f"--env {KEY_VARIABLE}={KEY} " if way == "account" else ""
    return Block("sh", f"claude mcp add --scope user {NAME} {key}-- {' '.join([command, *args])}")


def _vscode(way: Way, released: bool) -> Block:
    text = as_json({**vscode_inputs(way), "servers": {NAME: vscode_server(way, released=released)}})
    return Block("json", text)


def vscode_inputs(way: Way) -> Entry:
    """Return what VS Code asks its user for."""
    asked = {"account": ("inkbox-key", "Inkbox API key"), "http": ("inkbox-token", "Token of the server")}
    if way not in asked:
        return {}
    identifier, description = asked[way]
    return {"inputs": [{"id": identifier, "type": "promptString", "description": description, "password": True}]}


def vscode_server(way: Way, *, released: bool = RELEASED) -> Entry:
    """Return VS Code's entry of the server."""
    if way == "http":
        return {"type": "http", "url": URL, "headers": bearer("${input:inkbox-token}")}
    entry = {"type": "stdio", **started(way, released=released)}
    return {**entry, "env": {KEY_VARIABLE: "${input:inkbox-key}"}} if "env" in entry else entry


def _codex(way: Way, released: bool) -> Block:
    lines = [f"[mcp_servers.{NAME}]"]
    if way == "http":
        lines += [f'url = "{URL}"', f'bearer_token_env_var = "{TOKEN_VARIABLE}"']
    else:
        entry = started(way, released=released)
        lines += [f"{name} = {json.dumps(entry[name])}" for name in ("command", "args") if name in entry]
        lines += [f'env = {{ {name} = "{value}" }}' for name, value in entry.get("env", {}).items()]
    return Block("toml", "\n".join(lines))


def _copilot(way: Way, released: bool) -> Entry:
    if way == "http":
        return {"type": "http", "url": URL, "headers": bearer(f"${{{TOKEN_VARIABLE}}}"), "tools": ["*"]}
    return {"type": "local", **started(way, released=released, full=True), "tools": ["*"]}


def _opencode(way: Way, released: bool) -> Entry:
    if way == "http":
        # Without `oauth: false` it looks for a login when the token is wrong.
        return {"type": "remote", "url": URL, "oauth": False, "headers": bearer(f"{{env:{TOKEN_VARIABLE}}}")}
    entry = started(way, released=released, full=True)
    variables = {"environment": entry["env"]} if "env" in entry else {}
    return {"type": "local", "command": [entry["command"], *entry["args"]], **variables}


def _continue(way: Way, released: bool) -> Block:
    lines = ["name: Inkbox", "version: 0.0.1", "schema: v1", "mcpServers:", f"  - name: {NAME}"]
    if way == "http":
        lines += ["    type: streamable-http", f"    url: {URL}", "    requestOptions:", "      headers:"]
        lines += [f"        Authorization: Bearer ${{{{ secrets.{TOKEN_VARIABLE} }}}}"]
    else:
        entry = started(way, released=released)
        lines += ["    type: stdio", f"    command: {entry['command']}"]
        lines += [f"    args: {json.dumps(entry['args'])}"] if "args" in entry else []
        lines += ["    env:", f"      {KEY_VARIABLE}: ${{{{ secrets.{KEY_VARIABLE} }}}}"] if "env" in entry else []
    return Block("yaml", "\n".join(lines))


def _python(templates: Templates) -> Callable[[Way, bool], Block]:
    def block(way: Way, released: bool) -> Block:
        if way == "http":
            first = f'headers = {{"Authorization": f"Bearer {{os.environ[\'{TOKEN_VARIABLE}\']}}"}}\n'
            values = {"url": json.dumps(URL), "headers": "headers"}
            text = templates.http.strip().replace("\n\n", f"\n\n{first}", 1)
        else:
            entry = started(way, released=released, full=True)
            variables = f'{{"{KEY_VARIABLE}": os.environ["{KEY_VARIABLE}"]}}' if "env" in entry else "{}"
            values = {"command": json.dumps(entry["command"]), "args": json.dumps(entry["args"]), "env": variables}
            text = templates.stdio.strip()
        text = Template(text).substitute(values)
        return Block("python", f"import os\n\n{text}" if "os.environ" in text else text)

    return block


CLIENTS: dict[str, Callable[[Way, bool], Block]] = {
    "Claude Desktop": _json("mcpServers", _claude_desktop),
    "Claude Code": _claude_code,
    "Cursor": _json("mcpServers", _entry({"url": URL, "headers": bearer(f"${{env:{TOKEN_VARIABLE}}}")})),
    "VS Code": _vscode,
    "Windsurf": _json("mcpServers", _entry({"serverUrl": URL, "headers": bearer(f"${{env:{TOKEN_VARIABLE}}}")})),
    "Codex": _codex,
    "Gemini CLI": _json("mcpServers", _entry({"httpUrl": URL, "headers": bearer(f"${TOKEN_VARIABLE}")})),
    "Copilot CLI": _json("mcpServers", _copilot),
    "opencode": _json("mcp", _opencode),
    "Cline": _json("mcpServers", _entry({"type": "streamableHttp", "url": URL, "headers": bearer(TOKEN)})),
    "Continue": _continue,
    "Zed": _json("context_servers", _entry({"url": URL, "headers": bearer(TOKEN)})),
    **{name: _python(templates) for name, templates in FRAMEWORKS.items()},
}


def block(client: str, way: Way, *, released: bool = RELEASED) -> Block:
    """Return the block that tells a client of the server in one way."""
    return CLIENTS[client](way, released)


def blocks(client: str, *, released: bool = RELEASED) -> str:
    """Return a client's three blocks as Markdown."""
    return "\n".join(f"{TITLES[way]}:\n\n{block(client, way, released=released).fenced()}" for way in WAYS)


_INSTALL = {
    False: [
        ("install", "`uv tool install .` or `pipx install .`, in a clone of this repository"),
        ("upgrade", "`git pull`, and the same again: `uv tool install --reinstall .` or `pipx install --force .`"),
        ("uninstall", f"`uv tool uninstall {COMMAND}` or `pipx uninstall {COMMAND}`"),
    ],
    True: [
        ("install", f"nothing: `uvx {COMMAND}` fetches it; or `pipx install {COMMAND}`"),
        ("upgrade", f"`uvx {COMMAND}@latest --version` or `pipx upgrade {COMMAND}`"),
        ("uninstall", f"`uv cache clean {COMMAND}` or `pipx uninstall {COMMAND}`"),
    ],
}


def install_table(*, released: bool = RELEASED) -> str:
    """Return how to install, upgrade and uninstall as Markdown."""
    rows = "".join(f"| {what} | {how} |\n" for what, how in _INSTALL[released])
    return f"| to | do |\n| --- | --- |\n{rows}"


def install_sentence(*, released: bool = RELEASED) -> str:
    """Return the README's sentence about the command."""
    if released:
        uv = "[uv](https://docs.astral.sh/uv/)"
        return f"With {uv} there is nothing to install; `pipx install {COMMAND}` has the command ready for good.\n"
    tools = "[uv](https://docs.astral.sh/uv/) or [pipx](https://pipx.pypa.io)"
    return f"Install the command once, in this folder, with {tools}:\n`uv tool install .` or `pipx install .`.\n"


def bundle(*, released: bool = RELEASED) -> str:
    """Return how a person gets the bundle for Claude Desktop."""
    if released:
        return f"download [{BUNDLE}]({BUNDLE_URL}), open it, and fill in its form."
    return f"`.venv/bin/python -m deploy.installers` writes `dist/{BUNDLE}`; open it, and fill in its form."


def one_click(*, released: bool = RELEASED) -> dict[str, str]:
    """Return, by client, how it installs the server by itself, with a form in place of a block."""
    source, folder = (f"{OWNER}/{PROJECT_NAME}", REPOSITORY) if released else ("./", ".")
    of_claude_code = f"claude plugin marketplace add {source}\nclaude plugin install {PROJECT_NAME}@{PROJECT_NAME}"
    of_gemini = f"gemini extensions install {folder}"
    needs = "The server is started by [uv](https://docs.astral.sh/uv/)"
    where = "" if released else ", in a clone of this repository"
    return {
        "Claude Desktop": f"Without this file: {bundle(released=released)} The app brings what the bundle needs.\n",
        "Claude Code": f"Or as a plugin{where}. {needs}.\n\n{Block('sh', of_claude_code).fenced()}",
        "Gemini CLI": f"Or as an extension{where}. {needs}.\n\n{Block('sh', of_gemini).fenced()}",
    }


def desktop_advice(*, released: bool = RELEASED) -> str:
    """Return what the README says below the block of Claude Desktop."""
    command, args = launch(SANDBOX, released=released)
    replaced = "`args` and `env`" if released else "the `env` block"
    return (
        f'Then say: *make my sales agent a mailbox*. Without an account, put `"args": {json.dumps(args)}` in place of '
        f"{replaced}.\nIf the app cannot find the command, give its full path (`which {command}`): "
        "desktop apps do not see your shell's PATH.\n"
    )


def serve(*, released: bool = RELEASED) -> str:
    """Return how a server is started for clients that connect over HTTP."""
    command, args = launch("--http", released=released)
    start = " ".join(
        [f"INKBOX_MCP_TOKEN=${TOKEN_VARIABLE}", f"{KEY_VARIABLE}={KEY}", command, *args],
    )
    return Block("sh", f"export {TOKEN_VARIABLE}=$(openssl rand -hex 32)\n{start}").fenced()


def cursor_link(*, released: bool = RELEASED) -> str:
    """Return the link that adds the server to Cursor."""
    text = json.dumps(started("account", released=released), separators=(",", ":"))
    config = quote(base64.b64encode(text.encode()).decode(), safe="")
    return f"https://cursor.com/en/install-mcp?name={NAME}&config={config}"


def vscode_link(*, released: bool = RELEASED) -> str:
    """Return the link that adds the server to VS Code."""

    def encoded(value: Any) -> str:
        return quote(json.dumps(value, separators=(",", ":")), safe="")

    inputs, config = vscode_inputs("account")["inputs"], vscode_server("account", released=released)
    redirect = "https://insiders.vscode.dev/redirect/mcp/install"
    return f"{redirect}?name={NAME}&inputs={encoded(inputs)}&config={encoded(config)}"


def buttons(*, released: bool = RELEASED) -> str:
    """Return the buttons of the README."""
    cursor = "[![Add to Cursor](https://cursor.com/deeplink/mcp-install-dark.svg)]"
    vscode = "[![Install in VS Code](https://img.shields.io/badge/VS_Code-Install-0098FF)]"
    return f"{cursor}({cursor_link(released=released)})\n{vscode}({vscode_link(released=released)})\n"


def desktop_example(*, released: bool = RELEASED) -> str:
    """Return the file `claude_desktop_config.example.json`."""
    return block("Claude Desktop", "account", released=released).text + "\n"


def regions(*, released: bool = RELEASED) -> dict[str, dict[str, str]]:
    """Return the generated parts of each document, by file and name."""
    example = Block("json", desktop_example(released=released)).fenced()
    claude_code = block("Claude Code", "account", released=released).text
    readme = {
        "install": install_sentence(released=released),
        "desktop": f"**Claude Desktop**: {bundle(released=released)} Or Settings → Developer → Edit Config, "
        f"paste, restart:\n\n{example}\n{desktop_advice(released=released)}",
        "short": f"**Claude Code**: `{claude_code}`\n\n{buttons(released=released)}",
    }
    page = {f"blocks: {client}": "\n" + blocks(client, released=released) for client in CLIENTS}
    page |= {f"one click: {client}": how for client, how in one_click(released=released).items()}
    page |= {"install": install_table(released=released), "serve": serve(released=released)}
    return {"README.md": readme, "docs/clients.md": page}


def filled(document: str, parts: dict[str, str]) -> str:
    """Return a document with its generated parts, each between a comment of its name and `<!-- end -->`."""
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = document.partition(begin)
        assert found, name
        document = before + begin + part + end + rest.partition(end)[2]
    return document
