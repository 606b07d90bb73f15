"""Serving MCP over streamable HTTP: the application, who may call it, its end, and its worker processes."""
