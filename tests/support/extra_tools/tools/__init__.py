"""The tools, as a file of `inkbox_mcp.tools` would declare them."""
