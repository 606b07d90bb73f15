"""Many clients on one port: MCP over streamable HTTP, authentication, and graceful shutdown.

Everything that concerns HTTP clients must live here. This package does not know tools: it makes a `Caller` of each
request, and the service decides the rest.
"""
