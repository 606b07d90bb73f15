"""The parts of a tool: declaration, schemas, argument types, paging, questions and bounds.

Everything that several tools need must live here. This package does not know the tools themselves, callers, or MCP.
"""
