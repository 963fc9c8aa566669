"""Immutable bytes, in Redis or elsewhere, named by their SHA-256; chunks of 1 MiB are checked at each reading."""
