"""The entries of a client's configuration: found, and what can be said of one before it is started."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from inkbox_mcp.commands.checks import Check

SERVERS = "mcpServers"
KEY = "INKBOX_API_KEY"
RIGHT_PLACES = {f"env.{KEY}", "headers.X-Inkbox-API-Key"}
PUT_KEY = f'write it as {KEY} into the "env" of the entry, and nowhere else'
MAX_BYTES = 5_000_000
# A backslash that JSON does not know, and one that it takes for another character.
_IN_A_PATH = re.compile(r"escape|control character")


@dataclass(frozen=True)
class Entry:
    """What a client starts or connects to.

    Attributes:
        name: in the configuration.
        file: that it is in.
        fields: as written.
    """

    name: str
    file: Path
    fields: Mapping[str, Any]

    @property
    def env(self) -> Mapping[str, Any]:
        """Its environment variables."""
        env = self.fields.get("env")
        return cast("dict[str, Any]", env) if isinstance(env, dict) else {}

    @property
    def is_remote(self) -> bool:
        """Whether it names a URL, not a command."""
        return "url" in self.fields and "command" not in self.fields


def read(file: Path) -> Check | dict[str, Any]:
    """Read a configuration; return what is wrong if it cannot be read."""
    try:
        if file.stat().st_size > MAX_BYTES:
            return Check("file", False, f"{file} has more than {MAX_BYTES:,} bytes", "take out what is no server")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        return Check("file", False, f"{file} cannot be read: {why}", "save it as UTF-8, readable by you")
    try:
        document: Any = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        where = f"{file}, line {error.lineno}, column {error.colno}: {error.msg}"
        return Check("JSON", False, where, _how_to_mend(error))
    except RecursionError:
        return Check("JSON", False, f"{file} is nested too deeply", "take out what is no server")
    if not isinstance(document, dict):
        return Check("JSON", False, f"{file} is no JSON object", f'it must be {{"{SERVERS}": {{…}}}}')
    return cast("dict[str, Any]", document)


def _how_to_mend(error: json.JSONDecodeError) -> str:
    if _IN_A_PATH.search(error.msg):
        return "write each backslash of a Windows path twice, and each string in one line"
    if error.msg == "Extra data":
        return f'the file has more than one value: put the entry into the "{SERVERS}" of the first'
    return "correct it there, or just before: a comma is missing or too much, or a bracket, a quote, or it is a comment"


def entries_in(document: Mapping[str, Any], file: Path) -> list[Entry]:
    """Return the entries that are for this server, by their names, commands and variables."""
    servers = document.get(SERVERS)
    found = cast("dict[str, Any]", servers) if isinstance(servers, dict) else {}
    return [
        Entry(name, file, cast("dict[str, Any]", fields)) for name, fields in found.items() if _is_ours(name, fields)
    ]


def why_none(document: Mapping[str, Any], file: Path) -> Check:
    """Say why a file has no entry for this server."""
    servers = document.get(SERVERS)
    if servers is not None and not isinstance(servers, dict):
        return Check(
            "entry", False, f'"{SERVERS}" in {file} is no object', f'it must be "{SERVERS}": {{"inkbox": {{…}}}}'
        )
    for path, name, fields in _objects(document):
        if _is_ours(name, fields) and (name or "command" in fields):
            found = f"the entry is at {path or 'the top level'} of {file}, where the client does not look"
            return Check("entry", False, found, f'put it into "{SERVERS}": {{"inkbox": {{…}}}}')
    number = len(cast("dict[str, Any]", servers or {}))
    fix = f'add "inkbox": {{"command": …, "env": {{"{KEY}": …}}}} to its "{SERVERS}"'
    return Check("entry", False, f"none of {number} entries of {file} starts inkbox-mcp", fix)


def stray_keys(document: Mapping[str, Any]) -> Check | None:
    """Return where a key is beside the entries, or beside their list."""
    servers = document.get(SERVERS)
    inside = cast("dict[str, Any]", servers) if isinstance(servers, dict) else {}
    is_entry = "command" in document or "url" in document  # its place is wrong, and so is that of all in it
    outside = {
        name: value for name, value in document.items() if (isinstance(value, str) or name == "env") and not is_entry
    }
    loose = {name: value for name, value in inside.items() if isinstance(value, str)}
    places = [path for path, text in _texts({**outside, SERVERS: loose}) if _is_key(path, text)]
    return Check("key", False, f"in {places[0]}, outside of the entry", PUT_KEY) if places else None


def key_of(entry: Entry) -> Check | None:
    """Return what is wrong with the place of an entry's key; None if it is in the right one, or in none."""
    for path, text in _texts(entry.fields):
        if path in RIGHT_PLACES or not _is_key(path, text):
            continue
        why = "which is logged and kept in histories" if path == "url" else "where this server does not read it"
        if path.startswith("args"):
            why = "which every program on this machine can read"
        return Check("key", False, f"in {path}, {why}", PUT_KEY)
    return None


def shape_of(entry: Entry) -> Check | None:
    """Return which field of an entry has the wrong type; clients ignore such an entry."""
    fields = entry.fields
    wrong: dict[str, str] = {}
    if not entry.is_remote and not (isinstance(fields.get("command"), str) and fields["command"].strip()):
        wrong["command"] = "the program's name or path, as a string"
    args = fields.get("args", [])
    if not isinstance(args, list) or not all(isinstance(each, str) for each in cast("list[Any]", args)):
        wrong["args"] = "a list of strings"
    for name in ("env", "headers"):
        members = fields.get(name, {})
        values = cast("dict[str, Any]", members).values() if isinstance(members, dict) else [None]
        if not all(isinstance(each, str) for each in values):
            wrong[name] = "an object with strings"
    if entry.is_remote and not (isinstance(fields["url"], str) and fields["url"].strip()):
        wrong["url"] = "a string"
    for name, right in wrong.items():
        return Check("entry", False, f'"{name}" of "{entry.name}" is missing or of a wrong type', f"it must be {right}")
    return None


def _is_ours(name: str, fields: object) -> bool:
    if not isinstance(fields, dict):
        return False
    known = cast("dict[str, Any]", fields)
    env = Entry(name, Path(), known).env
    started = json.dumps([known.get("command"), known.get("args"), known.get("url")])
    has_variable = any(variable.startswith("INKBOX_") for variable in env)
    return "inkbox" in name.casefold() or bool(re.search(r"inkbox[-_]mcp", started)) or has_variable


def _objects(value: Mapping[str, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the objects outside of the right place, with their paths and names."""
    yield path, path.rpartition(".")[2], dict(value)
    for name, member in value.items():
        if isinstance(member, dict) and depth < 4:
            yield from _objects(cast("dict[str, Any]", member), f"{path}.{name}".lstrip("."), depth + 1)


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield all strings of JSON data with their paths, such as `args[1]`."""
    match value:
        case dict():
            for name, member in cast("dict[str, object]", value).items():
                yield from _texts(member, f"{path}.{name}".lstrip("."))
        case list():
            for number, member in enumerate(cast("list[object]", value)):
                yield from _texts(member, f"{path}[{number}]")
        case str():
            yield path, value
        case _:
            pass


def _is_key(path: str, text: str) -> bool:
    """Whether a string is a key, or stands where one is meant to be."""
    name = re.sub(r"[\W_]", "", path.rpartition(".")[2]).casefold()
    is_flag = path.startswith("args") and re.match(r"--?(inkbox[-_])?(api[-_]?)?key\b", text, re.IGNORECASE)
    return "ApiKey_" in text or name in {"inkboxapikey", "apikey"} or bool(is_flag)
