"""Reads the store for Prometheus: one process beside however many gateways and workers there are."""
