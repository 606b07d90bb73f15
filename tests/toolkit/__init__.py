"""Tests of `inkbox_mcp.toolkit`."""
