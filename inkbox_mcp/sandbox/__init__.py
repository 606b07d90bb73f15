"""An Inkbox on this machine: the REST API of the specification, served by FastAPI, kept in SQLite.

    from inkbox_mcp.sandbox import Store, create_app

    app = create_app(Store("inkbox.db"))  # an ASGI application; Store(":memory:") forgets

It imports nothing from the rest of the package: a client that works against it agrees with the specification,
not with itself.

Any well-formed API key works and is an organisation of its own, which begins with the identities `sales-agent` and
`support-agent`. Only a key whose secret is `no-organization` has none, and is answered 403.
"""

from inkbox_mcp.sandbox.app import create_app
from inkbox_mcp.sandbox.database import StoreError
from inkbox_mcp.sandbox.store import Store

__all__ = ["Store", "StoreError", "create_app"]
