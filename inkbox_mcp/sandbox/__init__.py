"""An Inkbox on this machine: the REST API of the specification, served by FastAPI, kept in SQLite.

    from inkbox_mcp.sandbox import Store, create_app

    store = Store("inkbox.db")  # Store(":memory:") forgets
    app = create_app(store)  # an ASGI application
    later = create_app(store, "identity")  # the same mailboxes, as the API's identity generation shows them

    store.deliver(b"From: …", ["sales@inkboxmail.com"])  # mail from outside
    store.add_fault(Fault("send_message", "lost"))  # what may go wrong

It imports nothing from the rest of the package, so that a client that works against it agrees with the
specification, not with itself.

Every well-formed API key is an organization of its own. In the spec generation it begins with the identities
`sales-agent` and `support-agent`, in the identity generation empty. A key with the secret `no-organization` has no
organization, and is answered 403.
"""

from inkbox_mcp.sandbox.app import Generation, create_app
from inkbox_mcp.sandbox.database import StoreError
from inkbox_mcp.sandbox.faults import Fault
from inkbox_mcp.sandbox.mail.letters import Delivery
from inkbox_mcp.sandbox.mail.limits import Limits
from inkbox_mcp.sandbox.mail.parsing import Unreadable
from inkbox_mcp.sandbox.store import Store

__all__ = ["Delivery", "Fault", "Generation", "Limits", "Store", "StoreError", "Unreadable", "create_app"]
