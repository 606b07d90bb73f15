"""Tests of `inkbox_mcp.tools`."""
