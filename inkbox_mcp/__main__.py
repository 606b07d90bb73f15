"""The command `inkbox-mcp`, also as `python -m inkbox_mcp`. A recording answers first, before the server is loaded."""

import sys

from inkbox_mcp.stdio.warm_start import converse


def main() -> int:
    """Run the command line of this process and return its exit status."""
    beginning = converse(sys.argv[1:])
    if beginning is None:
        return 0
    from inkbox_mcp import cli, process

    status = cli.main(sys.argv[1:], beginning)
    process.leave_threads_behind(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
