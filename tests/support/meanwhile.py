"""Something else that happens while a test acts."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def meanwhile(step: Callable[[], object]) -> Generator[None]:
    """Repeat a step in a thread until the context ends; the first one has been done when it begins."""
    begun, ended = Event(), Event()
    failed: list[BaseException] = []

    def repeat() -> None:
        try:
            while not ended.is_set():
                step()
                begun.set()
        except BaseException as error:  # noqa: BLE001  # raised below, where the test sees it
            failed.append(error)
            begun.set()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]
