"""Tests of `inkbox_mcp.settings`."""
