"""Sandboxes on real ports, for clients that share no code with ours."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from socket import IPPROTO_TCP, socket

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp) -> Generator[str]:
    """Serve a sandbox on a free port, stop it cleanly at the end, and return its base URL."""
    # asyncio sends at once only what it knows to go over TCP; otherwise each answer waits 40 ms for a client's ACK.
    with socket(proto=IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # from now on connections wait for the server and are not refused
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
