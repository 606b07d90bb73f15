"""Tests of `inkbox_mcp.sandbox`."""
