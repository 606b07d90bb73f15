"""The tools of the later generation of the API: every identity has a mailbox, created and deleted with it."""

INSTRUCTIONS = (
    "Every agent identity has one mailbox, made and deleted with it, at the address of its handle.",
    "The webhooks of a mailbox are subscriptions.",
)
