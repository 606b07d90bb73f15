"""The later generation of the API: every identity has a mailbox, created and deleted with it.

A mailbox's name is its identity's name, and a webhook is a subscription. Handles are unique in the whole service,
because each is also the local part of its mailbox.
"""

from inkbox_mcp.sandbox.identity_generation import (
    identities,
    mailboxes,
    messages,
    sending,
    signing_keys,
    signup,
    webhook_deliveries,
    webhooks,
    whoami,
)

ROUTERS = (
    mailboxes.router,
    messages.router,
    messages.SHARED,
    sending.router,
    sending.lookups,
    identities.router,
    signing_keys.router,
    signup.router,
    webhooks.router,
    webhook_deliveries.router,
    whoami.router,
)
