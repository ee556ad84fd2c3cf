"""Reading back what an experiment has recorded."""

from typing import Final

from tracelet.experiment import Experiment
from tracelet.journal.reader import Reader

MEMORY: Final = "tracelet.testing.memory:BACKEND"


def recorded(experiment: Experiment) -> list[object]:
    """Read every event of an experiment's journal."""
    assert experiment.directory is not None
    reader = Reader(experiment.directory)
    found: list[object] = []
    while records := reader.read(10_000):
        found += [record.event for record in records]
    return found
