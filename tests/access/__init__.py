"""Tests of `inkbox_mcp.access`."""
