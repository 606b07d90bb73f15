"""MCP requests in, MCP results out: the SDK ends here.

Everything that translates between the SDK's types and ours must live here. This package does not know transports: they
pass in the caller of a request. No package below imports the SDK.
"""
