"""A run's way through a journal and a relay to a backend, in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tracelet.backend import Backend
from tracelet.events import Event, Metric, RunFinished, RunStarted
from tracelet.journal import status
from tracelet.journal.locks import this_host, this_process
from tracelet.journal.writer import Writer
from tracelet.relay.delivery import Delivery


def record(place: Path, events: Sequence[Event], targets: Mapping[str, Mapping[str, str]]) -> None:
    """Write a journal. `RunStarted` comes first."""
    run = events[0]
    assert isinstance(run, RunStarted)
    writer = Writer(place)
    for event in events:
        if isinstance(event, RunFinished):
            assert writer.finish(event)
        elif not isinstance(event, Metric):
            assert writer.event(event)
        elif event.step is None:
            assert writer.stepless(event.name, event.value, event.time)
        else:
            assert writer.scalar(event.name, event.value, event.step, event.time)
    writer.close()
    said = status.RunFile(
        run_id=run.run_id,
        name=run.name,
        project=run.project,
        time=run.time,
        trainer=this_process(),
        host=this_host(),
        directory=str(place),
        python="",
        targets={name: status.Target(name, dict(options)) for name, options in targets.items()},
    )
    status.write_run(place, said)


def deliver(
    place: Path, backend: Backend, options: Mapping[str, str], events: Sequence[Event], *, again: bool = False
) -> str:
    """Record a run, unless this is `again`, deliver it as a relay does; return the tracker's id of it."""
    if not again:
        record(place, events, {backend.name: options})
    delivery = Delivery(place, backend.name, backend, options)
    while delivery.step():
        pass
    return status.read_delivery(place, backend.name).id
