"""An MCP request in, a result out: the SDK ends here.

Everything that turns MCP's types into ours and back must live here. This package does not know transports: who calls is
handed in. What runs without the SDK must not import it; nothing below does.
"""
