"""The progress of a benchmark on stderr: a bar on a terminal, lines elsewhere."""

import sys
import time

_WIDTH = 30


class Progress:
    """Counts the steps of a run."""

    def __init__(self, steps: int) -> None:
        self._steps, self._done = steps, 0
        self._began = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def begin(self, what: str) -> None:
        """Show the current step; it counts as done when the next one begins."""
        done, seconds = self._done / self._steps, time.monotonic() - self._began
        left = f", {seconds / done * (1 - done):.0f} s left" if done > 0.1 else ""
        bar = "#" * round(done * _WIDTH)
        if self._on_terminal:
            sys.stderr.write(f"\r[{bar:-<{_WIDTH}}] {what}{left}\033[K")
        else:
            sys.stderr.write(f"{self._done + 1}/{self._steps}  {what}{left}\n")
        sys.stderr.flush()
        self._done += 1

    def end(self) -> None:
        """Remove the bar from the terminal."""
        if self._on_terminal:
            sys.stderr.write("\r\033[K")
