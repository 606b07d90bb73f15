"""An MCP server through which LLM agents run their own Inkbox mailboxes."""

__version__ = "0.1.0"

RELEASED = False
"""Whether `inkbox-mcp` on PyPI is this package. Until then anybody can register the name, so no line may install it."""


def install_line(extra: str, *, released: bool = RELEASED) -> str:
    """Return the command that installs this package with an extra."""
    return f"pip install 'inkbox-mcp[{extra}]'" if released else f"pip install '.[{extra}]' in the folder of its source"
