"""`python -m inkbox_mcp` is the command `inkbox-mcp`."""

import sys

from inkbox_mcp.cli import main

sys.exit(main())
