"""Watch over one run: its trainer, its relays, its end.

`python -m tracelet.keeper RUN_DIRECTORY` is light and lives a little longer than the trainer.

*Guarantees.*

- A trainer that ends without `RunFinished` gets exactly one, with the status KILLED.
- A relay that dies is started again, after 1, 2, 4 … seconds, 5 minutes at most; one whose
  heartbeat is past its deadline is killed first. One that was refused is left alone.
- It holds no pipe, socket or file of the trainer: `python train.py | cat` ends with the trainer.
- It ends when everything is delivered, when nothing has moved for `linger` seconds after the
  trainer's end, or when the run's directory is gone. `tracelet sync` does the rest, with this code.
  Where the journal itself is the store there is nothing to deliver.
- One keeper per run: a lock in its directory. A second one ends at once.
"""
