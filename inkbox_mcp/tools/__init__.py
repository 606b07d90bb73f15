"""The tools, one file per resource.

Every operation in a file of this folder is a tool; nothing is registered. The sentences in a file's `INSTRUCTIONS` are
what a model reads about its tools beforehand, where they are offered. A tool knows what tools are made of, the API
and what can go wrong. It does not know who calls, how the server is configured, nor MCP.
"""

import re
from collections.abc import Collection
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

from inkbox_mcp.toolkit.operation import Operation


def all_operations() -> dict[str, Operation[Any, Any]]:
    """Collect every operation by name: files in alphabetical order, operations as they stand in each file."""
    values = cast("list[object]", [value for module in _modules() for value in vars(module).values()])
    found = [cast("Operation[Any, Any]", value) for value in values if isinstance(value, Operation)]
    return {operation.name: operation for operation in found}


def instructions(offered: Collection[str]) -> list[str]:
    """Collect what models read about the tools beforehand: the sentences that name no other tools than these.

    Args:
        offered: the names of tools.
    """
    others = set(all_operations()).difference(offered)
    sentences = [sentence for module in _modules() for sentence in getattr(module, "INSTRUCTIONS", ())]
    return [sentence for sentence in sentences if others.isdisjoint(re.findall(r"\w+", sentence))]


def _modules() -> list[ModuleType]:
    return [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
