"""What a training framework's capture and its logger have in common: points, params, checkpoints, ranks.

No framework is imported here. `Checkpoints` reads what Lightning's `ModelCheckpoint` says of itself; its
word for the last file it has written is private, and goes without if a version lacks it.
"""

import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from tracelet import inputs
from tracelet.events import Plain

if TYPE_CHECKING:
    from tracelet.experiment import Experiment

FOLDER: Final = "checkpoints"
"""Where checkpoints lie among the artifacts, and what they are called together."""


def rank() -> int:
    """Tell this process's global rank, as Lightning knows it; 0 before it has said anything."""
    # Both of its namespaces, and Fabric, share this module.
    module = sys.modules.get("lightning_utilities.core.rank_zero")
    return getattr(getattr(module, "rank_zero_only", None), "rank", None) or 0


def flat(metrics: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Give each metric's name and value; those of a nested mapping are called `name/key`."""
    for key, value in metrics.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from flat(cast("Mapping[Any, Any]", value), f"{name}/")
        else:
            yield name, value


class Epochs:
    """Lightning hands its epoch over with every call; it is worth a point where step or epoch are new."""

    def __init__(self) -> None:
        self._last: tuple[object, object] | None = None

    def new(self, step: object, epoch: object) -> bool:
        """Tell whether this epoch was not just recorded at this step."""
        last, self._last = self._last, (step, epoch)
        return last != self._last


class KnownParams:
    """The params that were recorded: they are told anew at each `fit` and `test`, and by each logger."""

    def __init__(self) -> None:
        self._known: dict[str, Plain] = {}

    def new(self, given: object) -> dict[str, Plain]:
        """Choose those of some params that are not known yet, or have another value now."""
        found = {
            name: value
            for name, value in inputs.params(given)
            if name not in self._known or not _same(self._known[name], value)
        }
        self._known |= found
        return found


_known: Final["weakref.WeakKeyDictionary[Experiment, KnownParams]"] = weakref.WeakKeyDictionary()


def known_params(experiment: "Experiment") -> KnownParams:
    """Return what is known of a run's params, by the capture and by all loggers."""
    return _known.setdefault(experiment, KnownParams())


def _same(one: Plain, other: Plain) -> bool:
    """Compare as written: 1, 1.0 and True are different params, and NaN is the same as NaN."""
    return repr(one) == repr(other)


class _Kept(NamedTuple):
    """A checkpoint that is to be logged, if it is not already."""

    path: str
    aliases: tuple[str, ...]
    metadata: dict[str, Any]
    step: int | None
    folder: str


class Checkpoints:
    """The checkpoints of a run's `ModelCheckpoint`s, as artifacts.

    Args:
        which: "all", each as it is saved; "best", the best of each callback when a fit ends; "none".
    """

    def __init__(self, which: str) -> None:
        self.which: Final = which
        self._logged: dict[str, int] = {}
        self._folders: dict[str, str] = {}
        self._best: dict[tuple[str, str], _Kept] = {}

    def saved(self, callback: Any, experiment: "Experiment") -> None:
        """Look at what a callback has just saved."""
        if self.which == "none":
            return
        best = _path(callback, "best_model_path")
        if self.which == "all":
            for path in self._new(callback):
                self._log(self._kept(callback, path, best), experiment)
        elif best:
            key = _path(callback, "dirpath"), str(getattr(callback, "monitor", ""))
            self._best[key] = self._kept(callback, best, best)

    def finish(self, experiment: "Experiment") -> None:
        """Log what was put off until the end of the fit."""
        for kept in self._best.values():
            if self._is_new(kept.path):
                self._log(kept, experiment)

    def _new(self, callback: Any) -> list[str]:
        if path := _path(callback, "_last_checkpoint_saved"):
            return [path]
        models: Any = getattr(callback, "best_k_models", None) or {}
        paths = [*map(str, models), *(_path(callback, f"{which}_model_path") for which in ("best", "last"))]
        return [path for path in dict.fromkeys(paths) if path and self._is_new(path)]

    def _kept(self, callback: Any, path: str, best: str) -> _Kept:
        newest = _path(callback, "_last_checkpoint_saved") or path
        last = path in {newest, _path(callback, "last_model_path")}
        scores: Any = getattr(callback, "best_k_models", None) or {}
        step = getattr(callback, "_last_global_step_saved", None)
        said = {
            "monitor": getattr(callback, "monitor", None),
            "score": _number(scores.get(path)),
            "file": os.path.basename(path),  # noqa: PTH119  it may be a URI
        }
        return _Kept(
            path=path,
            aliases=("best",) * (path == best) + ("last",) * last,
            metadata={name: value for name, value in said.items() if value is not None},
            step=step if isinstance(step, int) else None,
            folder=self._folder(os.path.dirname(path)),  # noqa: PTH120
        )

    def _folder(self, directory: str) -> str:
        """Give each directory of checkpoints a folder of its own: their files may be called the same."""
        if directory not in self._folders:
            number = len(self._folders) + 1
            self._folders[directory] = FOLDER if number == 1 else f"{FOLDER}-{number}"
        return self._folders[directory]

    def _is_new(self, path: str) -> bool:
        stamp = _stamp(path)
        return stamp != self._logged.get(path) and (stamp > 0 or "://" in path)

    def _log(self, kept: _Kept, experiment: "Experiment") -> None:
        self._logged[kept.path] = _stamp(kept.path)
        more: dict[str, Any] = {"aliases": kept.aliases, "metadata": kept.metadata}
        if "://" in kept.path:
            experiment.log_reference(kept.path, name=kept.folder, type="checkpoint", **more)
            return
        place = kept.folder
        if os.path.isdir(kept.path):  # noqa: PTH112  what a sharded strategy writes
            place = f"{place}/{os.path.basename(kept.path)}"  # noqa: PTH119
        experiment.log_artifact(kept.path, place, type="checkpoint", name=kept.folder, step=kept.step, **more)


def _path(callback: Any, name: str) -> str:
    return str(getattr(callback, name, None) or "")


def _stamp(path: str) -> int:
    """Say when a file was last written; the same path may be written again. 0 for a URI."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
