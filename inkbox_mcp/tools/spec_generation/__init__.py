"""The tools of the earlier generation of the API: mailboxes are made, named and deleted by themselves."""

INSTRUCTIONS = (
    "Mailboxes belong to agent identities, at most one each. A mailbox is made, named and deleted by tools of its own.",
    "The webhook of a mailbox is one of its fields.",
)
