"""One client on two pipes.

An answer from a recording may depend only on what its key covers: arguments, variables, the config file, Python, this
package's files and the versions of all packages. `warm_start` imports the standard library only, because it runs
before anything else is loaded; the SDK is loaded by the first line that needs it.
"""
