"""Everything of the service that knows no torch."""
