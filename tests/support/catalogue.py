"""The tools of both generations, for tests that hold for each of them."""

from typing import Any

from inkbox_mcp.catalogue import GENERATIONS, Catalogue, Catalogues
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.operation import Operation

CATALOGUES: dict[str, Catalogue] = {each: Catalogues(Settings()).of(each) for each in GENERATIONS}
SPEC, IDENTITY = CATALOGUES["spec"].tools, CATALOGUES["identity"].tools

EVERY: dict[str, Operation[Any, Any]] = {
    **SPEC,
    **{
        name if name not in SPEC else f"{name} (identity)": tool
        for name, tool in IDENTITY.items()
        if SPEC.get(name) is not tool
    },
}
"""Each tool once. A tool of the identity generation whose name the other one has too is marked."""


def generation_of(key: str) -> str:
    """Return the generation of a tool in `EVERY`."""
    return "identity" if EVERY[key] in IDENTITY.values() and EVERY[key] not in SPEC.values() else "spec"
