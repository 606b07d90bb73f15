"""The page of `inkbox-mcp sandbox`: what the mailboxes of a database file are doing, for people who look.

It reads the database and changes nothing, except that its form delivers mail from outside. So it also shows what other
processes do with the file. The browser gets one static page, JSON, and Server-Sent Events; the sandbox behind it knows
nothing of the page.
"""

from inkbox_mcp.commands.page.app import create_page

__all__ = ["create_page"]
