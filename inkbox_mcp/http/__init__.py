"""Many clients on one port: MCP over streamable HTTP, who may call it, and how it ends.

Everything that is said in HTTP must live here. This package does not know tools: who calls is made a `Caller` here, and
the rest is decided by the service.
"""
