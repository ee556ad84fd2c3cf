"""What a capture has of one experiment, and how its table of methods is put in place.

All captures of an experiment share the names: a script may use both libraries, and what they write
to two directories stays apart.
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from tracelet import values
from tracelet.summaries.naming import Names

if TYPE_CHECKING:
    from tracelet.events import Chart
    from tracelet.experiment import Experiment
    from tracelet.names import NameMap
    from tracelet.patching import Helper, Listener, Patches

_NO_HELP: Final[Mapping[str, "Helper"]] = {}
_LONGEST: Final = 80  # characters of one part of a path, of which each may take 3 bytes of 255
_CHARACTERS: Final = r"\x20-\x5b\x5d-\x7e\x80-\U0010ffff"  # all but control characters and the backslash


class Moment(NamedTuple):
    """When something was logged."""

    step: Any
    time: float | None  # seconds since the epoch; None for now


class _Known:
    """What was heard for an experiment so far, by whichever capture."""

    def __init__(self) -> None:
        self.names = Names()
        self.charts: dict[tuple[str, str], Chart] = {}
        self.places: dict[str, itertools.count[int]] = {}


_known: Final[WeakKeyDictionary["Experiment", _Known]] = WeakKeyDictionary()


class Listening:
    """What hears one library's writers for one experiment.

    Args:
        experiment: Where everything goes.
        directory: The attribute of a writer that says where it writes.
        defaults: Tells of a writer the step and the time, by the names `global_step` and `walltime`,
            that count where a call gives none.
    """

    def __init__(
        self,
        experiment: "Experiment",
        directory: str,
        defaults: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        known = _known.setdefault(experiment, _Known())
        self.experiment = experiment
        self.names = known.names
        self.charts = known.charts
        self._places = known.places
        self.directory: Final[Callable[[Any], object]] = attrgetter(directory)
        self._defaults = defaults

    def name(self, writer: Any, tag: object, family: str = "") -> str:
        """Find the name of what a writer calls by a tag. See `Names.name`."""
        return self.names.name(self.directory(writer), tag, family)

    def moment(self, writer: Any, step: Any, walltime: Any) -> Moment:
        """Say when something was logged, by what a call was given."""
        if self._defaults is not None and (step is None or walltime is None):
            given = self._defaults(writer)
            step = given.get("global_step") if step is None else step
            walltime = given.get("walltime") if walltime is None else walltime
        return Moment(step, None if walltime is None else float(walltime))

    def place(self, folder: str, name: str, step: Any) -> str:
        """Choose the path of the files of one call; no other call gets the same."""
        try:
            whole = values.step(step)
        except (TypeError, OverflowError):  # an experiment warns of it, and keeps none
            whole = None
        last = "no-step" if whole is None else f"step-{whole:08d}"
        path = "/".join([folder, *map(_parts().to_tracker, name.split("/")), last])
        number = next(self._places.setdefault(path, itertools.count(1)))
        return path if number == 1 else f"{path}-{number}"


@functools.cache
def _parts() -> "NameMap":
    """Make the map of what stands between two slashes to what a directory may be called."""
    from tracelet.backend import Limits
    from tracelet.names import NameMap  # only for these: a start of a run has no time for it

    return NameMap(Limits(name_length=_LONGEST, name_characters=_CHARACTERS, name_is_path=True))


def listen(
    patches: "Patches",
    owner: tuple[str, str],
    listening: Listening,
    methods: "Iterable[Callable[..., None]]",
    helpers: "Mapping[str, Helper]" = _NO_HELP,
) -> None:
    """Hear methods of a class.

    Args:
        patches: What takes it back.
        owner: The class's module, and its name there.
        listening: The first argument of every function.
        methods: Functions called as the methods that they hear.
        helpers: For calls that the originals refuse though their meaning is clear.
    """
    module, name = owner
    for method in methods:
        path = f"{name}.{method.__name__}"
        patches.wrap(module, path, _lenient(method, listening), helpers.get(method.__name__))


def _lenient(method: "Callable[..., None]", listening: Listening) -> "Listener":
    """Let a function pass over named arguments that only a later version of its library has."""
    taken = inspect.signature(method).parameters
    heard = functools.partial(method, listening)

    def listener(*args: Any, **kwargs: Any) -> None:
        heard(*args, **{name: value for name, value in kwargs.items() if name in taken})

    return listener
