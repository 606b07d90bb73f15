"""The embedded sandbox as a way to send requests: in this process, without a port."""

import httpx2

from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.generations import Generation


class SandboxTransport(httpx2.ASGITransport):
    """Sends requests to a sandbox in this process.

    Args:
        database: its file, or `:memory:`.
        generation: of the API.

    Raises:
        NotConfigured: the file cannot be used.
    """

    def __init__(self, database: str, generation: Generation) -> None:
        # Loaded by the first call that needs it: FastAPI would double the start-up time of a server on the real API.
        from inkbox_mcp.sandbox import Store, StoreError, create_app

        try:
            self._store = Store(database)
        except StoreError as error:
            raise NotConfigured(str(error)).advised("Tell the user to name another file with --sandbox-db.") from None
        super().__init__(create_app(self._store, generation), raise_app_exceptions=False)

    async def aclose(self) -> None:
        """Close the database."""
        self._store.close()
