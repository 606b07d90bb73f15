"""The tools of the earlier generation of the API: mailboxes are made, named and deleted by themselves."""

INSTRUCTIONS = (
    "Mailboxes belong to agent identities, at most one each.",
    "create_identity makes an identity and its mailbox; create_mailbox makes one for an identity that has none.",
    "A mailbox has its own sender name, and its webhook is one of its fields.",
    "list_mailboxes shows each mailbox with its agent's handle, so it needs no list_identities beside it.",
    "Which agents have no mailbox, and which are paused, is in list_identities.",
)
