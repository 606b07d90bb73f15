"""What is seen from outside: logs, metrics and traces.

Everything that leaves the process beside answers and requests must live here. None of it may hold arguments, results or
keys; this package does not know tools.
"""
