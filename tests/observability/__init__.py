"""What Prometheus and Grafana are given: rules, dashboard, and whether a real Prometheus gets data for them."""
