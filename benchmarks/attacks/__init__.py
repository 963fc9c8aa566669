"""Our attacks beside those of other libraries: same nets, same samples, same budgets, same threads.

    python -m benchmarks.attacks --quick          a few minutes
    python -m benchmarks.attacks                  the figures of docs/benchmarks.md

`make bench-attacks` does both: it makes the environment (environment.py) and runs this in it. See README.md.
"""
