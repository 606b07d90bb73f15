"""The command `inkbox-mcp` with one more folder of tools."""

import sys
from pathlib import Path

from inkbox_mcp import tools
from inkbox_mcp.cli import main

if __name__ == "__main__":
    tools.__path__.append(str(Path(__file__).parent / "tools"))
    sys.exit(main())
