"""The battery that every attack goes through, in every norm, with a target and without."""
