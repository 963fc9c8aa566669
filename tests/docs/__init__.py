"""What the documentation shows is true: its blocks run, its links lead somewhere, its site builds."""
