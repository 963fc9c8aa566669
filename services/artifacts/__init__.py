"""Immutable bytes in Redis, named by their SHA-256, in chunks of 1 MiB that are checked whenever they are read."""
