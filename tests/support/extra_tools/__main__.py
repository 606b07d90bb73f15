"""The command `inkbox-mcp`, whose tools are in one folder more."""

import sys
from pathlib import Path

from inkbox_mcp import tools
from inkbox_mcp.cli import main

if __name__ == "__main__":
    tools.__path__.append(str(Path(__file__).parent / "tools"))
    sys.exit(main())
