"""Where MCP clients keep their configuration, and what their servers see of the system.

Sources: https://modelcontextprotocol.io/docs/develop/connect-local-servers, https://cursor.com/docs/context/mcp
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Literal

ClientName = Literal["claude", "cursor"]
TITLES: Mapping[ClientName, str] = {"claude": "Claude Desktop", "cursor": "Cursor"}

# What a desktop session gives to apps. The apps add the folders of Homebrew, and not those of a shell's start files.
_APP_PATHS = {
    "darwin": "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "linux": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin",
}


@dataclass(frozen=True)
class Machine:
    """The system that a client runs on.

    Attributes:
        system: as `sys.platform` names it.
        home: the user's folder.
        environment: of this process.
        folder: that the command was called in.
    """

    system: str
    home: Path
    environment: Mapping[str, str]
    folder: Path

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine."""
        return cls(sys.platform, Path.home(), os.environ, Path.cwd())

    @property
    def app_path(self) -> str:
        """The PATH of a desktop app. On Windows it is the shell's, without the virtual environment that is active."""
        if self.system != "win32":
            return _APP_PATHS.get(self.system, _APP_PATHS["linux"])
        active = self.environment.get("VIRTUAL_ENV", "")
        folders = self.environment.get("PATH", "").split(";")
        return ";".join(each for each in folders if not active or PureWindowsPath(active) not in _and_above(each))


def possible_files(client: ClientName, machine: Machine) -> list[Path]:
    """Return the places of a client's configuration; a later one has priority."""
    if client == "cursor":
        own = machine.home / ".cursor" / "mcp.json"
        folders = (machine.folder, *machine.folder.parents)
        of_project = next((file for each in folders if (file := each / ".cursor" / "mcp.json").is_file()), own)
        return [own] if of_project == own else [own, of_project]
    return [folder / "claude_desktop_config.json" for folder in _folders_of_claude(machine)]


def files_in_use(client: ClientName, machine: Machine) -> list[Path]:
    """Return the files that a client reads. Cursor reads all of them, Claude Desktop one."""
    there = [file for file in possible_files(client, machine) if file.is_file()]
    return there if client == "cursor" else there[-1:]


def _folders_of_claude(machine: Machine) -> list[Path]:
    home = machine.home
    match machine.system:
        case "darwin":
            return [home / "Library" / "Application Support" / "Claude"]
        case "win32":
            roaming = Path(machine.environment.get("APPDATA") or home / "AppData" / "Roaming")
            local = Path(machine.environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
            # An app from the Store has a roaming folder of its own, which hides the usual one.
            packaged = sorted(local.glob("Packages/Claude_*/LocalCache/Roaming/Claude"))
            return [roaming / "Claude", *packaged]
        case _:
            config = Path(machine.environment.get("XDG_CONFIG_HOME") or home / ".config")
            return [config / "Claude"]


def _and_above(folder: str) -> tuple[PureWindowsPath, ...]:
    path = PureWindowsPath(folder)
    return (path, *path.parents)
