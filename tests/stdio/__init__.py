"""Tests of `inkbox_mcp.stdio`."""
