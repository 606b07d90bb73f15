"""Tests of `inkbox_mcp.http`."""
