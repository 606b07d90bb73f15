"""`doctor --client`: what it finds in the configuration of a client, on fake homes of three systems."""

import json
import os
import shutil
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.cli import main
from inkbox_mcp.commands.checks import Check, as_json, as_text
from inkbox_mcp.commands.client_files import ClientName, Machine
from inkbox_mcp.commands.clients import examine_client
from tests.support.agents import KEY
from tests.support.processes import run, serve_http

pytestmark = pytest.mark.posix

SECRET = "top-secret"
PLACES = {
    ("claude", "linux"): ".config/Claude/claude_desktop_config.json",
    ("claude", "darwin"): "Library/Application Support/Claude/claude_desktop_config.json",
    ("claude", "win32"): "AppData/Roaming/Claude/claude_desktop_config.json",
    **{("cursor", system): ".cursor/mcp.json" for system in ("linux", "darwin", "win32")},
}
SERVE = ["-m", "inkbox_mcp", "--api-generation", "spec"]
SOUND: dict[str, Any] = {"command": sys.executable, "args": SERVE, "env": {"INKBOX_API_KEY": KEY}}
WITHOUT_ARGS: dict[str, Any] = {"args": None, "env": {**SOUND["env"], "INKBOX_MCP_API_GENERATION": "spec"}}


OTHER = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        info = {"name": "inkbox-old", "version": "0.3"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info}
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
"""


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of all tests, so that each start but the first with given settings is one from a recording."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def home(shared_home: Path) -> Generator[Path]:
    """Return a home in which nothing is but the cache."""
    yield shared_home
    for left in shared_home.iterdir():
        if left.name != ".cache":
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def machine(
    home: Path, system: str = "linux", environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Machine:
    """Return a machine with this home."""
    return Machine(system, home, {"PATH": os.defpath, **(environment or {})}, folder or home)


def write(home: Path, document: Any, client: ClientName = "claude", system: str = "linux") -> Path:
    """Write a client's configuration, as JSON if it is no text, and return its file."""
    file = home / PLACES[client, system]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return file


def entry(**fields: Any) -> dict[str, Any]:
    """Return a configuration with an entry that has these fields, or lacks those that are None."""
    whole = {name: value for name, value in {**SOUND, **fields}.items() if value is not None}
    return {"mcpServers": {"inkbox": whole}}


async def bad(on: Machine, client: ClientName = "claude", seconds: float = 60) -> dict[str, Check]:
    """Run the checks; return those that failed, by name, of which none shows a secret."""
    checks = await examine_client(client, on, seconds)
    for shown in (as_text(checks), as_json(checks)):
        assert SECRET not in shown
        assert "ApiKey_1" not in shown
    return {check.name: check for check in checks if not check.ok}


@pytest.mark.parametrize(("client", "system"), PLACES)
async def test_a_sound_entry_is_started_and_its_file_stays_as_it_is(
    client: ClientName, system: str, home: Path
) -> None:
    """It is found where the client has it on each system."""
    file = write(home, entry(), client, system)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    checks = {check.name: check for check in await examine_client(client, machine(home, system))}
    assert [name for name, check in checks.items() if check.ok] == ["file", "entry", "key", "command", "start", "tools"]
    assert checks["file"].found == str(file)
    assert "list_mailboxes" in checks["tools"].found
    assert KEY[:8] not in as_text(list(checks.values()))
    assert before == (file.read_bytes(), file.stat().st_mtime_ns)
    assert sorted(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(("client", "system"), PLACES)
async def test_a_client_without_a_file_is_told_where_it_belongs(client: ClientName, system: str, home: Path) -> None:
    """Its folder may be missing, too."""
    failed = await bad(machine(home, system), client)
    assert [*failed] == ["file"]
    assert str(home / PLACES[client, system]) in failed["file"].found


async def test_variables_of_the_system_move_the_files(home: Path) -> None:
    """Both systems let users have their settings elsewhere."""
    (home / "elsewhere" / "Claude").mkdir(parents=True)
    (home / "elsewhere" / "Claude" / "claude_desktop_config.json").write_text("{}")
    for system, variable in (("linux", "XDG_CONFIG_HOME"), ("win32", "APPDATA")):
        on = machine(home, system, {variable: str(home / "elsewhere")})
        assert [*await bad(on)] == ["entry"]


async def test_the_file_of_the_windows_store_hides_the_usual_one(home: Path) -> None:
    """The app sees only its own copy."""
    write(home, entry(), system="win32")
    own = home / "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    failed = await bad(machine(home, "win32"))
    assert str(own) in failed["entry"].found


@pytest.mark.parametrize(
    ("text", "where", "fix"),
    [
        ('{"mcpServers": {\n  "inkbox": {"command": "x",}\n}}', "line 2, column ", "comma"),
        ('{\n  "mcpServers": {}\n  "other": 1\n}', "line 3, column 3", "comma"),
        ('{"mcpServers": {} // mine\n}', "line 1, column 19", "comment"),
        ('{"mcpServers": {"inkbox": {"command": "C:\\Users\\me"}}}', "escape", "backslash"),
        ('{"mcpServers": {}}\n{"mcpServers": {}}', "line 2, column 1", "more than one value"),
        ("[" * 100_000, "nested too deeply", "take out"),
        ("[]", "no JSON object", "mcpServers"),
        (f'{{"mcpServers": {{"inkbox": {{"env": {{"INKBOX_API_KEY": "{KEY}" }}}}', "line 1, column ", "bracket"),
    ],
)
async def test_broken_json_is_named_by_its_line_and_column(text: str, where: str, fix: str, home: Path) -> None:
    """The client itself may say only that it could not load the file."""
    write(home, text)
    failed = await bad(machine(home))
    assert where in failed["JSON"].found
    assert fix in failed["JSON"].fix


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00}\x00", None])
async def test_a_file_that_cannot_be_read_is_told(content: bytes | None, home: Path) -> None:
    """It may have another encoding, or be unreasonably large."""
    file = write(home, " " * 5_000_001)
    if content:
        file.write_bytes(content)
    failed = await bad(machine(home))
    assert ("it is not UTF-8" if content else "more than 5,000,000 bytes") in failed["file"].found


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("", "none of 0 entries"),
        ({"mcpServers": {}}, "none of 0 entries"),
        ({"mcpServers": {"other": {"command": "npx", "args": ["other"]}}}, "none of 1 entries"),
        ({"mcpServers": []}, "is no object"),
        ({"mcpServers": {"inkbox": "inkbox-mcp"}}, "none of 1 entries"),
        ({"mcp_servers": {"inkbox": SOUND}}, "at mcp_servers.inkbox"),
        ({"servers": {"mail": SOUND}}, "at servers.mail"),
        ({"inkbox": SOUND, "mcpServers": {}}, "at inkbox"),
        ({"mcpServers": {"mcpServers": {"inkbox": SOUND}}}, "at mcpServers.mcpServers.inkbox"),
        (SOUND, "at the top level"),
    ],
    ids=str,
)
async def test_an_entry_in_the_wrong_place_is_none(document: Any, found: str, home: Path) -> None:
    """Clients say nothing about what they do not look at."""
    write(home, document)
    failed = await bad(machine(home))
    assert [*failed] == ["entry"]
    assert found in failed["entry"].found
    assert "mcpServers" in failed["entry"].fix


@pytest.mark.parametrize("field", [{"command": None}, {"command": 1}, {"args": "--sandbox"}, {"args": [1]}])
async def test_an_entry_whose_fields_have_wrong_types_is_not_started(field: dict[str, Any], home: Path) -> None:
    """The client ignores it, and so says nothing."""
    write(home, entry(**field))
    failed = await bad(machine(home))
    assert f'"{next(iter(field))}" of "inkbox"' in failed["entry"].found


async def test_a_variable_that_is_no_text_is_told(home: Path) -> None:
    """`true` is what people write for a switch."""
    write(home, entry(env={"INKBOX_MCP_SANDBOX": True}))
    assert '"env" of "inkbox"' in (await bad(machine(home)))["entry"].found


WRONG_PLACES: list[tuple[dict[str, Any], str]] = [
    (entry(args=[*SERVE, "--api-key", KEY], env=None), "in args["),
    (entry(args=[*SERVE, f"--api-key={KEY}"], env=None), "in args["),
    (entry(args=[*SERVE, KEY]), "in args["),
    (entry(args=[*SERVE, "--key", "sk-top-secret"], env=None), "in args["),
    (entry(INKBOX_API_KEY=KEY, env=None), "in INKBOX_API_KEY"),
    (entry(apiKey="top-secret", env=None), "in apiKey"),
    (entry(env={"API_KEY": KEY}), "in env.API_KEY"),
    (entry(environment={"INKBOX_API_KEY": KEY}, env=None), "in environment.INKBOX_API_KEY"),
    (entry(command=f"INKBOX_API_KEY={KEY} inkbox-mcp", env=None), "in command"),
    ({**entry(env=None), "INKBOX_API_KEY": KEY}, "in INKBOX_API_KEY, outside"),
    ({**entry(env=None), "env": {"INKBOX_API_KEY": KEY}}, "in env.INKBOX_API_KEY, outside"),
    ({"mcpServers": {**entry(env=None)["mcpServers"], "INKBOX_API_KEY": KEY}}, "in mcpServers.INKBOX_API_KEY"),
]


@pytest.mark.parametrize(("document", "place"), WRONG_PLACES)
async def test_a_key_in_the_wrong_place_is_found_and_not_shown(
    document: dict[str, Any], place: str, home: Path
) -> None:
    """There it has no effect, or others can read it."""
    write(home, document)
    checks = await examine_client("claude", machine(home))
    found = [check for check in checks if check.name == "key" and not check.ok]
    assert place in found[0].found
    assert '"env" of the entry' in found[0].fix
    for shown in (as_text(checks), as_json(checks)):
        assert SECRET not in shown
        assert "ApiKey_1" not in shown


async def test_a_key_in_a_url_is_found_and_not_shown(home: Path) -> None:
    """URLs are logged. The client cannot start a URL either."""
    write(home, {"mcpServers": {"inkbox": {"url": f"https://example.com/mcp?key={KEY}"}}})
    failed = await bad(machine(home))
    assert "in url, which is logged" in failed["key"].found
    assert "starts only commands" in failed["entry"].found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ApiKey_...", "the placeholder of an example"),
        ("<your key>", "placeholder"),
        ("${INKBOX_API_KEY}", "a placeholder that nothing replaced"),
        ("sk-top-secret", "does not begin with ApiKey_"),
    ],
)
async def test_a_placeholder_for_the_key_is_told(text: str, why: str, home: Path) -> None:
    """It is looked at before anything is started, here another server."""
    write(home, entry(env={"INKBOX_API_KEY": text}, args=["-c", OTHER]))
    assert why in (await bad(machine(home)))["key"].found


async def test_a_server_that_starts_with_a_placeholder_for_the_key_is_sound_but_for_it(home: Path) -> None:
    """Every call would fail."""
    write(home, entry(env={"INKBOX_API_KEY": "ApiKey_..."}))
    assert [*await bad(machine(home))] == ["key"]


@pytest.mark.parametrize("env", [None, {}, {"INKBOX_API_KEY": " "}])
async def test_a_key_that_is_missing_is_told_by_the_server(env: Any, home: Path) -> None:
    """Only the server knows whether it needs one."""
    write(home, entry(env=env))
    assert (await bad(machine(home)))["key"].found == "not set"


async def test_a_key_that_is_elsewhere_or_not_needed_is_not_missed(home: Path) -> None:
    """It may be in `~/.inkbox/config`, and a sandbox needs none."""
    write(home, entry(env=None, args=[*SERVE[:2], "--sandbox", "--sandbox-db", ":memory:"]))
    assert not await bad(machine(home))
    write(home, entry(env=None))
    (home / ".inkbox").mkdir()
    (home / ".inkbox" / "config").write_text(f"api_key = {KEY}\n")
    (home / ".inkbox" / "config").chmod(0o600)
    assert not await bad(machine(home))


@pytest.fixture
def command(home: Path) -> Path:
    """Return the command in a folder that only shells look in."""
    file = home / ".local" / "bin" / "inkbox-mcp"
    file.parent.mkdir(parents=True)
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inkbox_mcp "$@"\n')
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("client", ["claude", "cursor"])
async def test_a_command_that_only_the_shell_finds_is_told_with_its_path(
    system: str, client: ClientName, home: Path, command: Path
) -> None:
    """Desktop apps do not see the shell's PATH. On Windows they do, without an active virtual environment."""
    write(home, entry(command="inkbox-mcp", **WITHOUT_ARGS), client, system)
    shell = {"PATH": str(command.parent), "VIRTUAL_ENV": str(home / ".local")}
    failed = await bad(machine(home, system, shell), client)
    assert [*failed] == ["command"]
    assert "only on that of this shell" in failed["command"].found
    assert failed["command"].fix == f'write "command": "{command}"'
    write(home, entry(command=str(command), **WITHOUT_ARGS), client, system)
    assert not await bad(machine(home, system, shell), client)


async def test_a_path_in_the_entry_counts(home: Path, command: Path) -> None:
    """The app looks for the command on the PATH that it gives to it."""
    env = {**WITHOUT_ARGS["env"], "PATH": f"{command.parent}:/usr/bin:/bin"}
    write(home, entry(command="inkbox-mcp", args=None, env=env))
    assert not await bad(machine(home))


@pytest.mark.parametrize(
    ("written", "found", "fix"),
    [
        ("no-such-command", "no-such-command is not on the app's PATH or this shell's", "install no-such-command"),
        ("/no/such/inkbox-mcp", "does not exist", "inkbox-mcp"),
        ("bin/inkbox-mcp", "does not exist", "inkbox-mcp"),
        ("~/.local/bin/inkbox-mcp", "apps do not know", "without ~"),
        ("inkbox-mcp --sandbox", "has options", "args"),
    ],
)
async def test_a_command_that_cannot_be_started_is_told(written: str, found: str, fix: str, home: Path) -> None:
    """The client says only that the server could not be started."""
    write(home, entry(command=written))
    failed = await bad(machine(home))
    assert [*failed] == ["command"]
    assert found in failed["command"].found
    assert fix in failed["command"].fix


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"args": [*SERVE, "--frobnicate"]}, "--frobnicate"),
        ({"args": [*SERVE, "--log-level", "loud"]}, "--log-level"),
        ({"env": {"INKBOX_API_KEY": KEY, "INKBOX_MCP_READONLY": "true"}}, "INKBOX_MCP_READONLY: no such option"),
        ({"env": {"INKBOX_API_KEY": KEY, "INKBOX_BASE_URL": "http://inkbox.ai"}}, "INKBOX_BASE_URL"),
    ],
)
async def test_an_option_that_the_server_refuses_is_told_in_its_words(
    fields: dict[str, Any], says: str, home: Path
) -> None:
    """The client shows that the server has ended, and mostly not why."""
    write(home, entry(**fields))
    failed = await bad(machine(home))
    assert [*failed] == ["start"]
    assert says in failed["start"].found
    assert "args or env" in failed["start"].fix


@pytest.mark.parametrize("fields", [{"args": [*SERVE, "--tools", "${TOOLS}"]}, {"env": {"INKBOX_BASE_URL": "<url>"}}])
async def test_a_placeholder_in_another_place_is_told(fields: dict[str, Any], home: Path) -> None:
    """The entry is not started: its program may be anything."""
    write(home, entry(**fields))
    failed = await bad(machine(home))
    assert "is still a placeholder" in failed["entry"].found


async def test_a_server_on_a_port_is_not_started(home: Path) -> None:
    """It would never answer on stdout."""
    write(home, entry(args=[*SERVE, "--http"]))
    failed = await bad(machine(home))
    assert failed["start"].fix == "remove --http from args"


async def test_an_old_entry_of_another_server_is_told(home: Path) -> None:
    """Its name may be that of this server."""
    write(home, entry(args=["-c", OTHER]))
    failed = await bad(machine(home))
    assert [*failed] == ["start"]
    assert failed["start"].found == "inkbox-old 0.3 answers, not inkbox-mcp"


@pytest.mark.parametrize(
    ("program", "seconds", "found"),
    [
        ("import sys; sys.stdin.read()", 1, "no answer in 1 seconds"),
        ("print('welcome')", 60, "onnection closed"),
        ("import os; raise SystemExit(str(dict(os.environ)))", 60, "…"),
        ("import no_such_module", 60, "No module named 'no_such_module'"),
    ],
)
async def test_a_program_that_does_not_answer_is_ended_and_told(
    program: str, seconds: float, found: str, home: Path
) -> None:
    """What it writes to stderr may have the values of its variables."""
    env = {"INKBOX_API_KEY": KEY, "INKBOX_MCP_TOKEN": "top-secret-token", "PASSWORD": "top-secret word"}
    write(home, entry(args=["-c", program], env=env))
    failed = await bad(machine(home), seconds=seconds)
    assert [*failed] == ["start"]
    assert found in failed["start"].found


async def test_it_starts_with_little_more_than_the_entry_has(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the shell must not make an entry work that fails in the app."""
    monkeypatch.setenv("INKBOX_MCP_SANDBOX", "true")
    write(home, entry(env=None))
    assert (await bad(machine(home)))["key"].found == "not set"


ODD: list[Any] = [
    None,
    True,
    1e999,
    "",
    "\0",
    "\ud800",
    "\x1b[2J\n",
    "${}",
    [],
    [None],
    ["\0"],
    {},
    {"A=B": "x"},
    {"A": "\0"},
]


@pytest.mark.parametrize("field", ["", "command", "args", "env", "url", "headers", "envFile"])
async def test_any_json_is_judged(field: str, home: Path) -> None:
    """People and programs write these files, and what is in them must not reach the terminal as it is."""
    for value in ODD:
        start = {"url": "http://127.0.0.1:1/mcp"} if field in {"url", "headers"} else {"command": "/bin/false"}
        write(home, {"mcpServers": {"inkbox": {**start, field: value} if field else value}}, "cursor")
        checks = await examine_client("cursor", machine(home))
        assert not all(check.ok for check in checks), value
        assert as_text(checks).replace("\n", "").isprintable()


async def test_every_entry_of_this_server_is_checked(home: Path) -> None:
    """The client starts all of them."""
    servers = {"inkbox": SOUND, "mail": {**SOUND, "args": [*SERVE, "--frobnicate"]}, "other": {"command": "nothing"}}
    write(home, {"mcpServers": servers})
    checks = await examine_client("claude", machine(home))
    named = [check.found.partition('" in ')[0] for check in checks if check.name == "entry"]
    assert named == ['"inkbox', '"mail']
    assert [check.ok for check in checks if check.name == "start"] == [True, False]


async def test_the_file_of_a_project_has_priority_in_cursor(home: Path) -> None:
    """It is looked for from the current folder upwards."""
    write(home, entry(args=[*SERVE, "--frobnicate"]), "cursor")
    project = home / "code" / "project"
    write(project, entry(), "cursor")
    (project / "src").mkdir()
    assert [*await bad(machine(home), "cursor")] == ["start"]
    assert not await bad(machine(home, folder=project / "src"), "cursor")


async def test_the_variables_of_cursor_are_replaced(home: Path) -> None:
    """Claude Desktop replaces none."""
    project = home / "project"
    fields = {
        "command": "${workspaceFolder}${/}python",
        "env": {"INKBOX_API_KEY": "${env:MY_KEY}", "INKBOX_MCP_ATTACHMENTS_DIR": "${userHome}"},
    }
    write(project, entry(**fields), "cursor")
    (project / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (project / "python").chmod(0o755)
    assert not await bad(machine(home, environment={"MY_KEY": KEY}, folder=project), "cursor")
    failed = await bad(machine(home, folder=project), "cursor")
    assert "a placeholder that nothing replaced" in failed["key"].found
    write(home, entry(command=fields["command"]))
    assert "command is still a placeholder" in (await bad(machine(home, environment={"MY_KEY": KEY})))["entry"].found


async def test_the_file_of_variables_that_cursor_reads_is_read(home: Path) -> None:
    """Variables of the entry itself have priority."""
    project = home / "project"
    write(project, entry(env=None, envFile="${workspaceFolder}/.env"), "cursor")
    on = machine(home, folder=project)
    assert "cannot be read" in (await bad(on, "cursor"))["entry"].found
    (project / ".env").write_text(f"# key\nexport INKBOX_API_KEY='{KEY}'\nOTHER\n")
    assert not await bad(on, "cursor")


async def test_a_url_is_connected_to_as_cursor_does(home: Path) -> None:
    """A server that refuses says why, without the headers."""
    async with serve_http("--sandbox", "--sandbox-db", ":memory:", home=home) as (_, origin):
        write(home, {"mcpServers": {"inkbox": {"url": f"{origin}/mcp"}}}, "cursor")
        assert not await bad(machine(home), "cursor")
        remote = {"url": f"{origin}/other", "headers": {"X-Inkbox-API-Key": KEY}}
        write(home, {"mcpServers": {"inkbox": remote}}, "cursor")
        assert "URL" in (await bad(machine(home), "cursor"))["start"].fix


async def test_the_command_prints_the_checks(home: Path) -> None:
    """As text or as JSON; the exit status tells scripts whether all passed."""
    system = "darwin" if sys.platform == "darwin" else "linux"
    ended = await run("doctor", "--client", "claude", home=home)
    assert (ended.status, ended.stderr) == (1, "")
    assert "→ make it with" in ended.stdout
    write(home, entry(), system=system)
    ended = await run("doctor", "--json", "--client", "claude", home=home)
    assert (ended.status, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["ok"] is True


@pytest.mark.parametrize(
    ("arguments", "says"), [(["claude", "--sandbox"], "inkbox-mcp: --client: "), (["other"], "choose from")]
)
def test_what_the_command_does_not_take_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entry of a client has the options of a server."""
    assert main(["doctor", "--client", *arguments]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert says in written.err
