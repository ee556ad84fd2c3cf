"""What the files of a run are, once they are read: entries of its series, and artifacts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tracelet.backends.mlflow import LIMITS, records, series, tags
from tracelet.backends.mlflow.artifacts import File, Files
from tracelet.backends.mlflow.paths import is_path, text_of, unescaped
from tracelet.events import SERIES, Artifact, Event, Histogram, Image, Text
from tracelet.names import NAME_TAG, NameMap, originals

_OURS: Final = tags.OWN | {tags.IMAGES}
_PREFIXES: Final = (NAME_TAG, tags.METRIC, tags.SUMMARIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the files of one run are.

    Attributes:
        ours: Whether tracelet wrote the run.
        own: The run's artifacts.
        models: Its logged models' files, by what their paths begin with here.
        about: The path of the JSON that tells what events cannot, and its bytes, if there is any.
    """

    ours: bool
    own: Files
    models: Mapping[str, Files]
    about: tuple[str, bytes]

    def find(self, path: str) -> tuple[Files, str]:
        """Tell where a file is, and what its path is there."""
        for prefix, files in self.models.items():
            if path.startswith(prefix):
                return files, path[len(prefix) :]
        return self.own, path


class Names:
    """A run's names, as they were before they were mapped; `ours` tells whether tracelet wrote it.

    Args:
        told: The run's tags.
    """

    def __init__(self, told: Mapping[str, str]) -> None:
        self.ours = bool(told.get(tags.UID))
        self._tags = told
        self._map = NameMap(LIMITS)

    def read(self, mapped: str) -> str:
        """Return what a name was."""
        if not self.ours:
            return mapped
        original = self._map.from_tracker(mapped, originals([mapped], self._tags))
        # What the user's own calls of MLflow have logged to the run was never mapped.
        return original if self._map.to_tracker(original) == mapped else mapped

    def read_cut(self, mapped: str) -> str:
        """Read a name that may have been cut to fit into that of a file."""
        return originals([mapped], self._tags).get(mapped) or self.read(mapped)

    def without_ours(self, told: Mapping[str, str]) -> dict[str, str]:
        """Leave out the tags by which tracelet, or MLflow on its behalf, keeps account of a run."""
        kept = {
            name: value
            for name, value in told.items()
            if name not in _OURS and not name.startswith(_PREFIXES)
        }
        if tags.TABLES in kept:
            kept[tags.TABLES] = records.tables_of_others(kept[tags.TABLES])
        return {name: value for name, value in kept.items() if name != tags.TABLES or value}


def events(place: Place, names: Names, time: float) -> Iterator[Event]:
    """Give what a run's files are.

    Args:
        place: Where they are.
        names: The run's.
        time: That of an artifact: MLflow knows none.
    """
    sorting = _Sorting(place, names)
    for file in place.own.walk():
        entry = sorting.take(file)
        if entry is not None:
            yield entry
    yield from sorting.recorded()
    yield from sorting.shown()
    others = sorting.others()
    for prefix, files in place.models.items():
        others += (File(prefix + file.path, file.size) for file in files.walk())
    path, content = place.about
    if content:
        others.append(File(path, len(content)))
    for file in others:
        yield Artifact(time=time, path=file.path, size=file.size)


class _Sorting:
    """Sorts a run's own files; what is said in one of others is known when all have been seen."""

    def __init__(self, place: Place, names: Names) -> None:
        self._files = place.own
        self._names = names
        self._sizes: dict[str, int] = {}
        self._about: dict[str, int] = {}  # what may be said of images besides
        self._records: list[str] = []  # what may tell of other files
        self._images: dict[str, series.Found] = {}
        self._spoken: set[str] = set()  # files that belong to something else

    def take(self, file: File) -> Text | Histogram | None:
        """Take one file; return what is in it if it speaks for itself."""
        path = file.path
        if self._names.ours and (entry := _entry(self._files, path)) is not None:
            return msgspec.structs.replace(entry, name=self._names.read(entry.name))
        self._sizes[path] = file.size
        if (image := series.image_at(path, file.size)) is not None:
            self._images[path] = image
        elif self._names.ours and path.startswith(series.ABOUT):
            self._about[path] = file.size
        elif self._names.ours and records.may_be(path):
            self._records.append(path)
        return None

    def recorded(self) -> Iterator[Event]:
        """Give what has a JSON of its own, each series in the order of its steps."""
        found: list[records.Recorded] = []
        for path in self._records:
            record = records.found_at(path, self._files.read(path), self._sizes)
            if record is not None:
                self._spoken |= {path, record.path, *record.shown}
                found.append(record.event)
        for event in sorted(found, key=_order):
            is_mapped = isinstance(event, SERIES)
            yield msgspec.structs.replace(event, name=self._read(event)) if is_mapped else event

    def shown(self) -> Iterator[Image]:
        """Give images, each series in the order of its steps."""
        found = [image for path, image in self._images.items() if path not in self._spoken]
        self._spoken |= self._images.keys()
        for one in sorted(found, key=lambda one: (one.image.name, one.image.step or 0, one.image.time)):
            if one.is_small:
                continue
            image = one.image
            if one.about in self._about:
                self._spoken.add(one.about)
                image = series.with_about(image, self._files.read(one.about))
            yield msgspec.structs.replace(image, name=self._names.read_cut(image.name))

    def others(self) -> list[File]:
        """Return what is nothing but a file."""
        left = [File(path, size) for path, size in self._sizes.items() if path not in self._spoken]
        return [File(unescaped(file.path), file.size) for file in left] if self._names.ours else left

    def _read(self, event: Any) -> str:
        return self._names.read(event.name)


def _entry(files: Files, path: str) -> Text | Histogram | None:
    """Read a text or a histogram of ours; None if the file is neither."""
    if is_path(path):
        return text_of(path, files.read(path))
    if series.is_histogram(path):
        return series.histogram_of(path, files.read(path))
    return None


def _order(event: Any) -> tuple[str, str, int, float]:
    return type(event).__name__, getattr(event, "name", ""), getattr(event, "step", None) or 0, event.time
