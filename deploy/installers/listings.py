"""The files that registries and clients read: the registry's entry, the Claude Code plugin, the Gemini CLI extension.

Plugin and extension are this repository itself, so they run the code beside them, and no package of some index.
"""

import json
from collections.abc import Callable
from typing import Any

from deploy.installers.project import (
    BUNDLE_URL,
    DESCRIPTION,
    DEVELOPERS,
    ENVIRONMENT,
    FORM,
    IMAGE,
    NAME,
    PROJECT,
    REGISTRY_NAME,
    REPOSITORY,
    SETTINGS,
    TITLE,
    VERSION,
)

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"


def registry_entry(bundle_sha256: str | None = None) -> dict[str, Any]:
    """Return `server.json` for the MCP registry.

    Args:
        bundle_sha256: of the bundle that is published; the registry needs it, and only a build knows it.
    """
    stdio = {"type": "stdio"}
    variables = {"transport": stdio, "environmentVariables": [_input(*each) for each in SETTINGS.values()]}
    return {
        "$schema": SCHEMA,
        "name": REGISTRY_NAME,
        "title": TITLE,
        "description": DESCRIPTION,
        "version": VERSION,
        "repository": {"url": REPOSITORY, "source": "github"},
        "packages": [
            {
                "registryType": "pypi",
                "registryBaseUrl": "https://pypi.org",
                "identifier": NAME,
                "version": VERSION,
                "runtimeHint": "uvx",
                **variables,
            },
            {
                "registryType": "mcpb",
                "identifier": BUNDLE_URL,
                **({"fileSha256": bundle_sha256} if bundle_sha256 else {}),
                "transport": stdio,
            },
            {"registryType": "oci", "identifier": IMAGE, "runtimeHint": "docker", **variables},
        ],
    }


def _input(variable: str, field: dict[str, Any]) -> dict[str, Any]:
    """Describe an environment variable as the registry does; its values are text."""
    default = str(field["default"]).lower() if isinstance(field["default"], bool) else field["default"]
    return {
        "name": variable,
        "description": field["description"],
        "format": field["type"],
        "isRequired": field["required"],
        **({"isSecret": True} if field.get("sensitive") else {}),
        **({"default": default} if default else {}),
    }


def plugin() -> dict[str, Any]:
    """Return the manifest of the Claude Code plugin."""
    return {
        "name": NAME,
        "version": VERSION,
        "description": DESCRIPTION,
        "author": {"name": DEVELOPERS},
        "repository": REPOSITORY,
        "license": PROJECT["license"],
        "keywords": PROJECT["keywords"],
        "userConfig": FORM,
        "mcpServers": {"inkbox": {**_command("${CLAUDE_PLUGIN_ROOT}"), "env": ENVIRONMENT}},
    }


def marketplace() -> dict[str, Any]:
    """Return the marketplace of this one plugin, which makes `claude plugin marketplace add` work on the repository."""
    return {
        "name": NAME,
        "owner": {"name": DEVELOPERS},
        "metadata": {"description": DESCRIPTION},
        "plugins": [{"name": NAME, "source": "./", "description": DESCRIPTION}],
    }


def extension() -> dict[str, Any]:
    """Return the manifest of the Gemini CLI extension.

    An installation asks for each setting, one after the other, so there are only those that it cannot do without. An
    answer may be empty, which the other options would not accept.
    """
    asked = [SETTINGS["api_key"], SETTINGS["sandbox"]]
    return {
        "name": NAME,
        "version": VERSION,
        "description": DESCRIPTION,
        "settings": [
            {
                "name": field["title"],
                "description": field["description"] + (" Answer true or false." if field["type"] == "boolean" else ""),
                "envVar": variable,
                "sensitive": field.get("sensitive", False),
            }
            for variable, field in asked
        ],
        "mcpServers": {
            "inkbox": {
                **_command("${extensionPath}"),
                "env": {variable: f"${{{variable}:-}}" for variable, _ in asked},  # empty where nothing is set
            }
        },
    }


LISTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "server.json": registry_entry,
    ".claude-plugin/plugin.json": plugin,
    ".claude-plugin/marketplace.json": marketplace,
    "gemini-extension.json": extension,
}
"""By the path of the file in the repository."""


def as_json(content: dict[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _command(folder: str) -> dict[str, Any]:
    return {"command": "uv", "args": ["run", "--project", folder, NAME]}
