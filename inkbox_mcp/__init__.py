"""An MCP server through which LLM agents run their own Inkbox mailboxes."""

__version__ = "0.1.0"
