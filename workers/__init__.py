"""The PyTorch library, and the few files that make a worker of it."""
