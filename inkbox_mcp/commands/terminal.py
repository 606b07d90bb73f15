"""Writes to stdout, be it a terminal of any encoding, a closed pipe, or closed itself."""

import io
import os
import sys

from inkbox_mcp.settings.options import SettingsError


def fill_closed_streams() -> list[str]:
    """Open /dev/null for closed standard streams, before a file or connection gets the same descriptor.

    Returns:
        The names of the closed streams.
    """
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if closed:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # a new descriptor gets the lowest free number
            pass
        os.close(fd)
    for name in closed:
        setattr(sys, name, io.StringIO())
    return closed


def show_what_can_be_shown() -> None:
    """Replace characters that the terminal's encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def show(text: str) -> None:
    """Write to stdout. A reader that has closed the pipe, such as `head`, is no error.

    Raises:
        SettingsError: the text cannot be written, such as to a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise SettingsError(f"stdout: {error.strerror or error}") from None
