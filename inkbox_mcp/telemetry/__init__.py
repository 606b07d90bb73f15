"""What operators see: logs, metrics and traces.

Everything that leaves the process besides requests and answers must live here. It must not contain arguments, results
or keys. This package does not know tools.
"""
