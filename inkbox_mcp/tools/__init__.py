"""The tools, one file per resource.

Every operation in a file of this folder is a tool; nothing is registered. A tool knows what tools are made of, the API
and what can go wrong. It does not know who calls, how the server is configured, nor MCP.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, cast

from inkbox_mcp.toolkit.operation import Operation


def all_operations() -> dict[str, Operation[Any, Any]]:
    """Collect every operation by name: files in alphabetical order, operations as they stand in each file."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    values = cast("list[object]", [value for module in modules for value in vars(module).values()])
    found = [cast("Operation[Any, Any]", value) for value in values if isinstance(value, Operation)]
    return {operation.name: operation for operation in found}
