"""The five mailbox tools made with the Python SDK's `MCPServer`, on stdio."""

from mailbox_tools import TOOLS
from mcp.server.mcpserver import MCPServer

mcp = MCPServer("mailboxes")
for tool in TOOLS:
    mcp.add_tool(tool)

if __name__ == "__main__":
    mcp.run()
