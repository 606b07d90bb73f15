"""The facts that every installer repeats: names, version, addresses, settings and tools, each from its one place."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import inkbox_mcp
from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.tools import operations

ROOT = Path(__file__).parent.parent.parent

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME: str = PROJECT["name"]
DESCRIPTION: str = PROJECT["description"]
DEVELOPERS: str = PROJECT["authors"][0]["name"]
TITLE = "Inkbox mailboxes"
VERSION = inkbox_mcp.__version__

REPOSITORY: str = PROJECT["urls"]["Repository"]
OWNER = urlsplit(REPOSITORY).path.split("/")[1]

REGISTRY_NAME = f"io.github.{OWNER}/{NAME}"
"""The registry lets only this owner publish by this name. The package and the image repeat it as a proof."""

BUNDLE = f"{NAME}-{VERSION}.mcpb"
BUNDLE_URL = f"{REPOSITORY}/releases/download/v{VERSION}/{BUNDLE}"
IMAGE = f"ghcr.io/{OWNER.lower()}/{NAME}:{VERSION}"

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "api_key": (
        "INKBOX_API_KEY",
        {
            "type": "string",
            "title": "Inkbox API key",
            "description": "From the Inkbox console: ApiKey_... Empty for the sandbox, or if ~/.inkbox/config has it.",
            "sensitive": True,
            "required": False,
            "default": "",
        },
    ),
    "sandbox": (
        "INKBOX_MCP_SANDBOX",
        {
            "type": "boolean",
            "title": "Sandbox",
            "description": "Use an Inkbox on this computer instead of the real one: no account, no mail to the world.",
            "required": False,
            "default": False,
        },
    ),
    "read_only": (
        "INKBOX_MCP_READ_ONLY",
        {
            "type": "boolean",
            "title": "Read only",
            "description": "Offer only the tools that change nothing and send nothing.",
            "required": False,
            "default": False,
        },
    ),
    "confirm": (
        "INKBOX_MCP_CONFIRM",
        {
            "type": "string",
            "title": "Ask before",
            "description": "When to ask you before mail is sent or something is deleted: auto, always or never.",
            "required": False,
            "default": "auto",
        },
    ),
}
"""What a person sets in a form: the environment variable, and the field as bundles and plugins declare it.

Each field has a default, because a host leaves `${user_config.…}` as it stands where there is no value.
"""

ENVIRONMENT = {variable: f"${{user_config.{name}}}" for name, (variable, _) in SETTINGS.items()}
FORM = {name: field for name, (_, field) in SETTINGS.items()}


def tools() -> dict[str, str]:
    """Return the first sentence about each tool of both generations, by name."""
    found: dict[str, str] = {}
    for generation in GENERATIONS:
        for name, operation in operations(generation).items():
            found.setdefault(name, operation.description.split(". ")[0].removesuffix("."))
    return found
