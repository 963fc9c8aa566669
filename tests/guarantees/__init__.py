"""What is promised, and that the proofs of it which documents and tables name are there."""
