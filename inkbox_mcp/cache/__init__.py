"""What is kept on disk between two starts, private to its user: recordings, and the API's generation for each key.

Only files that can be deleted at any time belong here. This package knows nothing of what the files mean.
"""
