"""The five mailbox tools made with FastMCP, on stdio or HTTP: `python fastmcp_server.py [PORT [--stateless]]`."""

# The server runs in its own environment, so the type checker cannot find FastMCP.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import sys

from fastmcp import FastMCP
from mailbox_tools import TOOLS

mcp = FastMCP("mailboxes")
for tool in TOOLS:
    mcp.tool(tool)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        mcp.run("http", host="127.0.0.1", port=int(sys.argv[1]), stateless_http="--stateless" in sys.argv)
    else:
        mcp.run("stdio", show_banner=False)
