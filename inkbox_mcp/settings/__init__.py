"""Every option once: its name, its values, and the sources they are read from.

Whatever can be configured must be declared and checked here, before anything else is loaded. This package does not know
the users of an option.
"""
