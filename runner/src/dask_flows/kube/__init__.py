"""The Kubernetes API: a small protocol, a real client, a cache that follows changes.

Only this package knows the ``kubernetes`` library. Everybody else sees plain dictionaries.
"""
