"""Who calls, and how far they reach: the caller's API, the operator's limits on it, and how many calls it may make.

Everything that depends on who calls, or that the operator does not allow, must be decided here. This package does not
know MCP or transports: a tool gets an API that already refuses what it may not touch.
"""
