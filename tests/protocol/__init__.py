"""Tests of `inkbox_mcp.protocol`."""
