"""Proof that the guarantees are tested: each is taken out of a copy of the code, and a named test has to notice."""
