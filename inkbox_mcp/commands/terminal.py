"""What commands write on stdout, whatever is at its other end: a terminal of any encoding, a closed pipe, nothing."""

import io
import os
import sys

from inkbox_mcp.settings.options import SettingsError


def fill_closed_streams() -> list[str]:
    """Put nothing where stdin, stdout or stderr was closed, before some file or connection takes its number.

    Returns:
        The names of those that were closed.
    """
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if closed:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # a new descriptor is the lowest that is free
            pass
        os.close(fd)
    for name in closed:
        setattr(sys, name, io.StringIO())
    return closed


def show_what_can_be_shown() -> None:
    """Have characters replaced that a terminal's encoding does not know."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def show(text: str) -> None:
    """Write on stdout; a reader that has seen enough, such as `head`, misses nothing.

    Raises:
        SettingsError: it cannot be written, for instance because the disk is full.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise SettingsError(f"stdout: {error.strerror or error}") from None
