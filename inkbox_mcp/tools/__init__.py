"""The tools, one file per resource.

Tools that both generations of the API have are in this folder, the others in `spec_generation` and
`identity_generation`. Every operation in these files is a tool; nothing is registered. A file's `INSTRUCTIONS` are
sentences for models about its tools; its `TOOLSET` is the group of tools that `--toolsets` chooses. A tool knows the
toolkit, the API and errors. It does not know callers, settings, MCP, or the other generation.
"""

from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

from inkbox_mcp.api.generations import Generation
from inkbox_mcp.toolkit.operation import Operation

_ORDER = {toolset: place for place, toolset in enumerate((None, "mailboxes", "mail"))}


@cache
def operations(generation: Generation) -> dict[str, Operation[Any, Any]]:
    """Return the operations of a generation by name, by toolset, file, and place in the file."""
    found: dict[str, Operation[Any, Any]] = {}
    for module in _modules(generation):
        values = cast("list[object]", list(vars(module).values()))
        tools = [cast("Operation[Any, Any]", value) for value in values if isinstance(value, Operation)]
        found |= {tool.name: tool for tool in tools if tool.function.__module__ == module.__name__}
    # An agent has a mailbox before it has mail. The sort keeps the order within a toolset.
    return dict(sorted(found.items(), key=lambda item: _ORDER.get(item[1].toolset, len(_ORDER))))


def instructions(generation: Generation, offered: Collection[str]) -> list[str]:
    """Return the sentences of the files of a generation, but for files whose tools are all missing.

    Args:
        generation: of the API.
        offered: the names of the tools that the reader can call.
    """
    sentences: list[str] = []
    for module in _modules(generation):
        tools = {tool.name for tool in operations(generation).values() if tool.function.__module__ == module.__name__}
        if not tools or not tools.isdisjoint(offered):
            sentences += getattr(module, "INSTRUCTIONS", ())
    return sentences


def _modules(generation: Generation) -> Iterator[ModuleType]:
    folders = [import_module(name) for name in (__name__, f"{__name__}.{generation}_generation")]
    for folder in folders:
        yield folder
        for module in iter_modules(folder.__path__):
            if not module.ispkg:
                yield import_module(f"{folder.__name__}.{module.name}")
