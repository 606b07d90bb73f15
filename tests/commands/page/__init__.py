"""Tests of `inkbox_mcp.commands`."""
