"""The tools, declared as in a file of `inkbox_mcp.tools`."""
