"""Mail as text for a language model: what strangers wrote, made readable, marked and bounded.

Only pure functions over texts belong here, whose work is bounded by the length of what they get. This package does not
know the API, tools, settings or MCP, and opens nothing: no file, no connection, no link.
"""
