"""The subcommands: demo, sandbox, doctor and tools.

Each one is a module of its name with a function `run`, which takes the arguments after the name and returns the exit
status. Parsing flags and writing to a terminal must live here.
"""
