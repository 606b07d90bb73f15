"""Every option once: which there are, what their values may be, and where they come from.

Whatever can be configured must be declared and checked here, before anything else is loaded. This package does not know
who uses an option.
"""
