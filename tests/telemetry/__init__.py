"""Tests of `inkbox_mcp.telemetry`."""
