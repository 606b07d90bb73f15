"""`inkbox-mcp doctor --client`: checks what a client's configuration says about this server, and changes nothing."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from inkbox_mcp.commands.checks import Check
from inkbox_mcp.commands.client_entries import (
    KEY,
    PUT_KEY,
    SERVERS,
    Entry,
    entries_in,
    key_of,
    read,
    shape_of,
    stray_keys,
    why_none,
)
from inkbox_mcp.commands.client_files import TITLES, ClientName, Machine, files_in_use, possible_files
from inkbox_mcp.commands.client_start import SECONDS, Launch, start
from inkbox_mcp.settings.credentials import not_a_key, unfilled, without_keys, without_wrapping

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")


async def examine_client(client: ClientName, machine: Machine, seconds: float = SECONDS) -> list[Check]:
    """Check the entries for this server in a client's configuration, and start each as the client does.

    Args:
        client: whose configuration.
        machine: that the client runs on.
        seconds: after which a server that does not answer counts as hung.
    """
    files = files_in_use(client, machine)
    if not files:
        places = " or ".join(map(str, possible_files(client, machine)))
        fix = f'make it with {{"{SERVERS}": {{"inkbox": {{…}}}}}}; the settings of {TITLES[client]} open it'
        return [Check("file", False, f"{TITLES[client]} has none at {places}", fix)]
    checks: list[Check] = []
    entries: dict[str, Entry] = {}
    reasons: list[Check] = []
    for file in files:
        document = read(file)
        if isinstance(document, Check):
            checks.append(document)
            continue
        checks.append(Check("file", True, str(file)))
        checks += filter(None, [stray_keys(document)])
        found = entries_in(document, file)
        entries |= {entry.name: entry for entry in found}
        reasons += [] if found else [why_none(document, file)]
    if not entries:
        checks += reasons[-1:]
    for entry in entries.values():
        checks += await _examine(entry, client, machine, seconds)
    # A key may be anywhere, also in a name or a command.
    return [replace(check, found=without_keys(check.found), fix=without_keys(check.fix)) for check in checks]


async def _examine(entry: Entry, client: ClientName, machine: Machine, seconds: float) -> list[Check]:
    checks = [Check("entry", True, f'"{entry.name}" in {entry.file}')]
    if wrong := shape_of(entry):
        return [*checks, wrong]
    launch, problems = _launch(entry, client, machine)
    checks += filter(None, [key_of(entry) or _key(launch)])
    checks += problems or ([] if entry.is_remote else [_command(entry, launch, machine)])
    if not all(check.ok for check in checks[1:] if check.name != "key"):
        return checks
    started = await start(launch, seconds)
    # Where a key is in a wrong place, it is known already that there is none in the right one.
    return [*checks, *(each for each in started if each.name != "key" or all(check.ok for check in checks))]


def _launch(entry: Entry, client: ClientName, machine: Machine) -> tuple[Launch, list[Check]]:
    """Return what the client starts, and what is left unreplaced in it."""
    of_project = client == "cursor" and entry.file.parent.parent != machine.home
    folder = entry.file.parent.parent if of_project else machine.home
    values = _values(folder, of_project, machine) if client == "cursor" else {}
    problems: list[Check] = []

    def filled(text: str, place: str) -> str:
        done = _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)
        if unfilled(done) and place != f"env.{KEY}":  # that one is judged with the key
            fix = "write the value itself; apps do not see the variables of your shell"
            problems.append(Check("entry", False, f"{place} is still a placeholder that nothing replaces", fix))
        return done

    def members(name: str) -> dict[str, str]:
        there = cast("dict[str, str]", entry.fields.get(name, {}))
        return {variable: filled(text, f"{name}.{variable}") for variable, text in there.items()}

    if entry.is_remote:
        launch = Launch(url=filled(entry.fields["url"], "url"), headers=members("headers"))
        return launch, [*problems, *([_cannot_connect(entry)] if client == "claude" else [])]
    command = filled(entry.fields["command"], "command")
    args = [filled(text, f"args[{number}]") for number, text in enumerate(entry.fields.get("args", []))]
    env = members("env")
    if client == "cursor" and isinstance(named := entry.fields.get("envFile"), str):
        env = _env_file(folder / filled(named, "envFile"), problems) | env
    if "--http" in args:
        fix = "remove --http from args"
        problems.append(Check("start", False, "--http serves on a port, where this client does not look", fix))
    found = shutil.which(command, path=env.get("PATH", machine.app_path)) or command
    inherited = {"PATH": machine.app_path, "HOME": str(machine.home)}
    return Launch(found, args, inherited | env, folder), problems


def _cannot_connect(entry: Entry) -> Check:
    fix = "add the URL in Settings → Connectors, or write a command in place of it"
    return Check("entry", False, f'"{entry.name}" has a URL, and the app starts only commands from this file', fix)


def _values(folder: Path, of_project: bool, machine: Machine) -> dict[str, str]:
    """Return the values of Cursor's variables."""
    separator = "\\" if machine.system == "win32" else "/"
    workspace = {"workspaceFolder": str(folder), "workspaceFolderBasename": folder.name} if of_project else {}
    variables = {f"env:{name}": value for name, value in machine.environment.items()}
    return {"userHome": str(machine.home), "pathSeparator": separator, "/": separator, **workspace, **variables}


def _env_file(file: Path, problems: list[Check]) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        problems.append(Check("entry", False, f"envFile {file} cannot be read", "correct its path"))
        return {}
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1]: match[2].strip().strip("\"'") for match in found if match}


def _key(launch: Launch) -> Check | None:
    """Judge a key in its right place. Whether one is needed at all is known when the server answers."""
    places: Mapping[str, Any] = launch.env or launch.headers or {}
    name = "X-Inkbox-API-Key" if launch.url else KEY
    text = without_wrapping(places.get(name, ""))
    if not text:
        return None
    problem = not_a_key(text) or (None if text.startswith("ApiKey_") else "it does not begin with ApiKey_")
    if problem:
        fix = f"create a key in the Inkbox console. Then {PUT_KEY}"
        return Check("key", False, f"what {name} has is no key: {problem}", fix)
    return Check("key", True, f"set by {name}")


def _command(entry: Entry, launch: Launch, machine: Machine) -> Check:
    written: str = entry.fields["command"]
    if Path(launch.command).is_absolute() and shutil.which(launch.command):
        return Check("command", True, launch.command)
    if written.startswith("~"):
        return Check("command", False, f"apps do not know what {written} is", "write the path in full, without ~")
    if "/" in written or "\\" in written:
        is_there = Path(launch.command).exists()
        why = (
            "is a path that depends on a folder"
            if is_there and not Path(launch.command).is_absolute()
            else ("may not be run" if is_there else "does not exist")
        )
        return Check("command", False, f"{written} {why}", _how_to_name("inkbox-mcp", machine))
    if re.search(r"\s", written.strip()):
        fix = 'write only the program into "command", and each option as a string of its own into "args"'
        return Check("command", False, "what is written as command has options", fix)
    here = shutil.which(written, path=machine.environment.get("PATH"))
    found = f"{written} is not on the app's PATH" + (", only on that of this shell" if here else " or this shell's")
    return Check("command", False, found, _how_to_name(written, machine))


def _how_to_name(command: str, machine: Machine) -> str:
    own = Path(sys.executable).with_name("inkbox-mcp.exe" if machine.system == "win32" else "inkbox-mcp")
    here = shutil.which(command, path=machine.environment.get("PATH"))
    if command == "inkbox-mcp" and not here and own.exists():
        here = str(own)
    return f'write "command": {json.dumps(here)}' if here else f"install {command}, and write its full path as command"
