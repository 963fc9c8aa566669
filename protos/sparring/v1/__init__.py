"""The generated stubs of the contract."""
