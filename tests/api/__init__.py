"""Tests of `inkbox_mcp.api`."""
