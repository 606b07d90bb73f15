"""The generation of the API that the specification describes: mailboxes stand alone, identities may have one."""

from inkbox_mcp.sandbox.spec_generation import identities, mailboxes, messages, whoami

ROUTERS = (mailboxes.router, messages.router, messages.SHARED, identities.router, whoami.router)
