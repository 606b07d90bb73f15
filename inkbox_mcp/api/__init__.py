"""The Inkbox REST API as one key sees it: a typed client that could be published by itself.

Everything that knows the API's paths, statuses, retries or generations must live here. This package does not know
options, tools or MCP: its callers pass in what it needs.
"""
