"""PGD training: our engine beside the trainers of other libraries, and beside a loop with nothing around it.

    python -m benchmarks.training --quick         a minute or two
    python -m benchmarks.training                 the figures of docs/benchmarks.md

`make bench-training` does both: it makes the environment (benchmarks/attacks/environment.py) and runs this in it.

    cases.py                      which net, how many digits, epochs and steps
    nets.py                       the nets
    schedule.py                   one learning rate and one epsilon for everybody
    bare.py, ours.py, with_*.py   a case in the words of each trainer
    bench.py                      all of them, in a process for each side (benchmarks/attacks/side.py)
    compare.py                    everybody in turn, every net before one judge
    targets.py, page.py           what has to be reached, the tables
"""
