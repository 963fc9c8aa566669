"""Faults, injected by a seeded schedule into real processes under load, and what must hold after each run.

    pytest -m faults tests/faults [--faults-seed N] [--faults-scale X]

`invariants` says what must hold and `test_invariants` that it can fail; `history` and `facts` read what a run left;
`stack` is the thing under test, `load` keeps it busy, `injuries` disturbs it, `results` is the table at the end.
"""
