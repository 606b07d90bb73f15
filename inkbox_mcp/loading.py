"""Loading what is never unloaded."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def for_good() -> Generator[None]:
    """Load it without looking for garbage in it: that would take a tenth of the start and most of the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
