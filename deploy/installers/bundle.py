"""The bundle for Claude Desktop: a ZIP archive with the code, its requirements and a manifest.

The host installs the requirements by uv, for its own system. They are those of `deploy/constraints.txt`, so what runs
there was tested.
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from deploy.installers.icon import SIZE, draw
from deploy.installers.listings import as_json
from deploy.installers.project import (
    DESCRIPTION,
    DEVELOPERS,
    ENVIRONMENT,
    FORM,
    NAME,
    PROJECT,
    REPOSITORY,
    ROOT,
    TITLE,
    VERSION,
    tools,
)

ENTRY_POINT = "server.py"
_ENTRY = '''\
"""Starts the server from this bundle."""

import sys

from inkbox_mcp.__main__ import main

sys.exit(main())
'''

_LONG_DESCRIPTION = """\
Your assistant makes mailboxes at Inkbox, waits for mail such as codes and confirmations, reads it, and writes answers.

Make an API key in the Inkbox console and paste it below, or switch the sandbox on to try everything without an account.
The first start takes a minute: the parts that the server needs are downloaded then."""


def manifest() -> dict[str, Any]:
    """Return the bundle's manifest, of version 0.4."""
    return {
        "manifest_version": "0.4",
        "name": NAME,
        "display_name": TITLE,
        "version": VERSION,
        "description": DESCRIPTION,
        "long_description": _LONG_DESCRIPTION,
        "author": {"name": DEVELOPERS},
        "repository": {"type": "git", "url": REPOSITORY},
        "support": f"{REPOSITORY}/issues",
        "icon": "icon.png",
        "icons": [{"src": "icon.png", "size": f"{SIZE}x{SIZE}"}],
        "server": {
            "type": "uv",
            "entry_point": ENTRY_POINT,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", ENTRY_POINT],
                "env": ENVIRONMENT,
            },
        },
        "tools": [{"name": name, "description": what} for name, what in tools().items()],
        "tools_generated": True,  # an organization has those of its generation of the API
        "keywords": PROJECT["keywords"],
        "license": PROJECT["license"],
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": PROJECT["requires-python"]},
        },
        "user_config": FORM,
    }


def write_bundle(path: Path) -> None:
    """Write the bundle; the same code makes the same bytes."""
    texts = {
        "manifest.json": as_json(manifest()),
        "pyproject.toml": _requirements(),
        ENTRY_POINT: _ENTRY,
    }
    files = {name: text.encode() for name, text in texts.items()}
    files["icon.png"] = draw()
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    for file in (ROOT / "inkbox_mcp").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            files[file.relative_to(ROOT).as_posix()] = file.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # with a fixed time
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, files[name])


def _requirements() -> str:
    """Write the bundle's pyproject.toml: requirements only, so that nothing has to be built on the user's computer."""
    pins = (ROOT / "deploy/constraints.txt").read_text(encoding="utf-8")
    constraints = re.findall(r"^([a-z0-9][^\\\n]*?) *\\?$", pins, re.MULTILINE)
    return (
        f"[project]\nname = {_toml(NAME)}\nversion = {_toml(VERSION)}\n"
        f"requires-python = {_toml(PROJECT['requires-python'])}\n"
        f"dependencies = {_toml(PROJECT['dependencies'])}\n\n"
        f"[tool.uv]\npackage = false\nconstraint-dependencies = {_toml(constraints)}\n"
    )


def _toml(value: str | list[str]) -> str:
    """Write text, or a list of texts, for TOML, whose basic strings are those of JSON."""
    return json.dumps(value, indent=2) if isinstance(value, list) else json.dumps(value)
