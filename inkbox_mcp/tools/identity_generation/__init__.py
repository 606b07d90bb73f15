"""The tools of the later generation of the API: every identity has a mailbox, created and deleted with it."""

INSTRUCTIONS = (
    "Every agent identity has one mailbox, made and deleted with it, at the address of its handle.",
    "list_identities shows each agent with its sender name and address, so it needs no list_mailboxes beside it.",
    "Filters, signatures and storage are in list_mailboxes with details.",
    "The webhooks of a mailbox are subscriptions.",
)
