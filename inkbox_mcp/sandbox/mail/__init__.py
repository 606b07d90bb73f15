"""The mail of the sandbox: what a mailbox keeps, sends and receives, and what both generations of the API share.

A message is RFC 5322 text when it arrives or leaves. `parsing` reads it, `composing` writes it, `delivery` brings it
into mailboxes, `sending` sends what the API is asked to send. `messages`, `threads` and `search` are the rows.
`routes` are the operations that both generations have; `outside` is how mail comes from outside.
"""
