"""The tools, one file per resource.

Every operation in a file of this folder is a tool; nothing is registered. A file's `INSTRUCTIONS` are sentences for
models about its tools, used if these are offered. A tool knows the toolkit, the API and errors. It does not know
callers, settings, or MCP.
"""

import re
from collections.abc import Collection
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

from inkbox_mcp.toolkit.operation import Operation


def all_operations() -> dict[str, Operation[Any, Any]]:
    """Return all operations by name: files in alphabetical order, operations in the order of each file."""
    values = cast("list[object]", [value for module in _modules() for value in vars(module).values()])
    found = [cast("Operation[Any, Any]", value) for value in values if isinstance(value, Operation)]
    return {operation.name: operation for operation in found}


def instructions(offered: Collection[str]) -> list[str]:
    """Return the sentences of all files that name only offered tools.

    Args:
        offered: the names of the offered tools.
    """
    others = set(all_operations()).difference(offered)
    sentences = [sentence for module in _modules() for sentence in getattr(module, "INSTRUCTIONS", ())]
    return [sentence for sentence in sentences if others.isdisjoint(re.findall(r"\w+", sentence))]


def _modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
