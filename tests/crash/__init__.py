"""Kill trainer, keeper and relay at random moments, and see that nothing is lost or doubled.

`trainer.py` trains and notes, in files of its own, what each logging call that returned had logged.
`chaos.py` starts it, kills what the seed says when the seed says it, and lets `tracelet sync` do the
rest. `relays.py` kills relays only, one after the other, while they deliver. `trackers.py` reads back
what arrived, with each tracker's own client, and `verdict.py` compares. `python -m tests.crash N` prints
a table; `test_crash.py` does a few seeds as a part of the tests.
"""
