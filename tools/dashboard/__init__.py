"""Grafana's dashboard, from a description that people can read."""
