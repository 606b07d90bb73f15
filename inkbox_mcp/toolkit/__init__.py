"""What a tool is made of: its declaration, its schemas, the types of its arguments, paging, and its bounds.

Everything that more than one tool needs to be declared must live here. This package does not know which tools there
are, who calls, nor MCP.
"""
