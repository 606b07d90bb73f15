"""The tools of the earlier generation of the API: mailboxes are made, named and deleted by themselves."""

INSTRUCTIONS = (
    "Mailboxes belong to agent identities, at most one each. They are made, named and deleted by themselves.",
    "The webhook of a mailbox is one of its fields.",
)
