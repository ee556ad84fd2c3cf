"""A run of the script that calls all methods, taken to MLflow and read back from there."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.backends.conftest import BACKEND, Store
from tests.backends.delivering import deliver
from tests.cli.inside import inside
from tracelet import backends
from tracelet.events import Artifact, Bundle, Event, Layout, Metric, Params


def read_back(run: Path, events: Sequence[Event], place: Path) -> list[Event]:
    """Deliver a run's journal to a new MLflow, and return what MLflow has of it."""
    store = Store(place)
    remote = deliver(run, BACKEND, store.options, events, again=True)
    reader = backends.reader(f"mlflow:{store.uri}")
    try:
        found = list(reader.events(remote))
        for event in found:  # each payload can be fetched
            data: Any = getattr(event, "data", None)
            if data is not None:
                reader.download(remote, data.path, place / "payload")
                assert (place / "payload").stat().st_size == data.size
    finally:
        reader.close()
    return found


def signs(events: Iterable[Event]) -> Counter[tuple[str, object, object]]:
    """Count what there is: kinds, names and steps."""
    found: Counter[tuple[str, object, object]] = Counter()
    for event in events:
        if isinstance(event, Params):
            found.update((("Params", name, value) for name, value in event.params.items()))
        elif isinstance(event, Layout):
            found[("Layout", event.charts, None)] += 1
        elif isinstance(event, Artifact):
            found[("Artifact", event.path, event.size)] += 1
        elif isinstance(event, Metric) or hasattr(event, "step"):
            name: object = getattr(event, "name", None)
            found[(type(event).__name__, name, getattr(event, "step", None))] += 1
    return found


def expected(events: Iterable[Event]) -> Counter[tuple[str, object, object]]:
    """Count what MLflow is to have, by what it declares."""
    assert BACKEND.held is not None
    return signs(found for event in events if (found := BACKEND.held(event)) is not None)


def shown(run: Path, events: Iterable[Event]) -> None:
    """Look whether `tracelet show` lists all there is."""
    result = inside("show", run.name, "--json", TRACELET_DIR=str(run.parent))
    assert result.code == 0, result.err
    listed = json.dumps(json.loads(result.out), ensure_ascii=False)
    for event in events:
        if isinstance(event, Layout):
            assert all(json.dumps(chart.title) in listed for chart in event.charts)
        elif isinstance(event, Bundle) or hasattr(event, "data") or isinstance(event, Metric):
            assert json.dumps(getattr(event, "name", "")) in listed
