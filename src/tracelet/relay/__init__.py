"""Deliver one journal to one tracker.

`python -m tracelet.relay RUN_DIRECTORY BACKEND` runs one `Delivery`: read a batch from the cursor,
shape it to what the tracker can take, `write` it, advance the cursor. `sync`, live training and a
relay thread are this same loop.

*Guarantees.*

- The cursor follows acknowledgement: a record is passed only after the tracker has confirmed it,
  or after it was kept among the rejects. A relay may be killed anywhere; the next one repeats at
  most what was not confirmed, and a backend takes a repetition for what it is.
- A tracker that knows a point by its place gets the same rows however often a relay begins anew: they
  are written down before they are sent (`tracelet.relay.plan`).
- A record that a tracker will not take is found by halving its batch, kept, counted and shown. It
  never holds up the others.
- A tracker that is away costs nothing but time: the relay backs off, with jitter, and goes on
  where it was.
- `RunFinished` is delivered last, after everything that any process of the run had recorded.
- One relay per run and backend: a lock in the run's directory.
"""

from typing import Final

DONE: Final = 0  # the process's exit codes: delivered, or asked to stop
REFUSED: Final = 3  # the tracker refused
LOCKED: Final = 4  # another relay holds the lock
BROKEN: Final = 5  # the run or the backend cannot be read or loaded
