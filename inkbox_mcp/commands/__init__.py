"""What the command runs besides serving MCP: the demo, the sandbox, the doctor, and the table of tools.

Each command is a module of its name with a function `run`, from the arguments after the name to the exit status. What a
command line may hold, and what is written on a terminal, must be decided here.
"""
