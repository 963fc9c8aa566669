"""Twenty minutes of load and faults, and whether anything grows: memory, descriptors, keys, streams.

    pytest -m soak tests/soak [--soak-minutes 20] [--soak-seed N]

`load` and `disturb` keep a stack busy and hurt it, `sampling` looks at it every few seconds, `slopes` judges.
"""
