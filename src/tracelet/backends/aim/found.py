"""What there is of a run in a repository of Aim's, also of one that Aim has not indexed.

Aim's own way to read looks into an index that `aim up` makes, and finds nothing of a run that is not in
it. A run's own files have everything, so they are read; opened so, they are not changed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from tracelet.backends.aim.connection import Connection
from tracelet.backends.aim.contexts import AGAIN
from tracelet.backends.aim.params import ROOT
from tracelet.errors import Refused

NUMBERS: Final = frozenset({"int", "float", "float64", "number"})


class Series(NamedTuple):
    """One series: a name, its context, and the type of what is in it."""

    name: str
    context: Mapping[str, Any]
    place: int
    kind: str
    version: int


class Found:
    """One run, open for reading. Everything here asks the repository: call it by `Connection.call`.

    Attributes:
        own: What tracelet has noted in it; empty if it did not write it.
        attributes: Its params, and what is below `ROOT`.
    """

    def __init__(self, connection: Connection, run: str) -> None:
        self._repo = connection.repo
        self.hash = run
        if run not in set(self._repo.list_all_runs()):
            raise Refused(f"there is no run {run!r} in {connection.place}")
        self._meta = self._tree("meta").subtree(("meta", "chunks", run))
        self._series: dict[int, Any] = {}
        self.attributes: dict[str, Any] = dict(self._get(self._meta, "attrs", {}))
        noted: Any = self.attributes.get(ROOT, {})
        own = cast("dict[str, Any]", noted) if isinstance(noted, dict) else {}
        self.own: dict[str, Any] = own if own.get("uid") else {}

    @property
    def ended(self) -> float | None:
        """When it ended; None while it goes on."""
        return cast("float | None", self._get(self._meta, "end_time", None))

    @property
    def properties(self) -> Any:
        """Its name, experiment, description, labels and beginning; None if they are gone."""
        try:
            return self._repo.request_props(self.hash, True)
        except Exception as error:  # a server hands on whatever its own code raised
            if "props" in str(error) or "exist" in str(error):  # of a run whose row was deleted
                return None
            raise

    @property
    def artifacts(self) -> dict[str, Any]:
        """Its artifacts, by name."""
        return dict(self._get(self._meta, "artifacts", {}))

    def series(self) -> Iterator[Series]:
        """Give its series."""
        contexts = self._get(self._meta, "contexts", {})
        found: list[Series] = []
        for index, named in dict(self._get(self._meta, "traces", {})).items():
            context = dict(contexts.get(index) or {})
            for name, about in named.items():
                kind, version = str(about.get("dtype", "float")), int(about.get("version", 1))
                found.append(Series(str(name), context, int(index), kind, version))
        yield from sorted(
            found, key=lambda one: (one.name, str(one.context.get(AGAIN, "")).zfill(9), one.place)
        )

    def arrays(self, series: Series) -> Any:
        """Return where the columns of a series are."""
        trees = self._series.get(series.version)
        if trees is None:
            place = (
                ("chunks", self.hash) if series.version == 1 else (f"v{series.version}", "chunks", self.hash)
            )
            trees = self._series[series.version] = self._tree("seqs").subtree(("seqs", *place))
        return trees.subtree((series.place, series.name))

    def steps(self, series: Series) -> list[tuple[int, float]]:
        """Return the steps of a series of objects, and their times; without the objects."""
        return [(int(step), float(time)) for step, time in self.arrays(series).array("time").items()]

    def entry(self, series: Series, step: int) -> Any:
        """Return one object, or a list of them."""
        return self.arrays(series).subtree("val").collect(step)

    def _tree(self, name: str) -> Any:
        if self._repo.is_remote_repo:
            return self._repo.request_tree(name, self.hash, read_only=True)
        # Else Aim would tidy up the files of somebody's run before it reads them.
        return self._repo.request_tree(name, self.hash, read_only=True, skip_read_optimization=True)

    @staticmethod
    def _get(tree: Any, name: str, default: Any) -> Any:
        """Read a part of a tree, whole; what has none of it raises one of several errors."""
        try:
            return tree.collect(name)
        except (KeyError, StopIteration, IndexError):
            return default


def points(found: Found, series: Series) -> tuple[Any, Any, Any]:
    """Return the steps, times and values of a metric, the oldest first."""
    import numpy as np

    arrays = found.arrays(series)
    if series.version == 1:  # as Aim before 3.11 kept them
        values = dict(arrays.array("val").items())
        times = dict(arrays.array("time").items())
        both = [key for key in values if key in times]
        columns = both, [times[key] for key in both], [values[key] for key in both]
    else:
        columns = _columns(arrays)
    steps = np.asarray(columns[0], "i8")
    moments, found_values = np.asarray(columns[1], "f8"), np.asarray(columns[2], "f8")
    order = np.lexsort((steps, moments))
    return steps[order], moments[order], found_values[order]


def _columns(arrays: Any) -> tuple[Any, Any, Any]:
    """Read the columns of a series; a point that a kill has torn is left out."""
    import numpy as np

    steps = np.fromiter(arrays.array("step", dtype="int64").values(), "i8")
    times = np.fromiter(arrays.array("time", dtype="float64").values(), "f8")
    values = np.fromiter(arrays.array("val").values(), "f8")
    if len(steps) == len(times) == len(values):
        return steps, times, values
    named = dict(arrays.array("step", dtype="int64").items())
    moments = dict(arrays.array("time", dtype="float64").items())
    kept = dict(arrays.array("val").items())
    whole = [key for key in named if key in moments and key in kept]
    return [named[key] for key in whole], [moments[key] for key in whole], [kept[key] for key in whole]
