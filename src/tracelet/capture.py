"""The shape of a capture: listening to a library's calls.

A file `captures/<name>.py` holds a module-level `CAPTURE: Capture`. It names the libraries it
listens to and installs one wrapper per captured method, with the method's own signature.

Five promises:

1. The original runs first; its arguments, its result and its exceptions stay untouched.
2. Nothing is captured inside a captured call: the outermost call speaks.
3. An error of ours is logged once and swallowed.
4. Nothing is imported for the user: what is not imported yet is patched when it is.
5. `uninstall` leaves the very same object behind.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelet.experiment import Experiment
    from tracelet.patching import Patches


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A library that tracelet can listen to.

    Attributes:
        name: As in the setting `track_<name>`.
        install: Register this capture's patches; what they catch goes to the experiment.
        settings: Names of settings that `install` is given, too, by name.
    """

    name: str
    install: "Callable[[Patches, Experiment], None] | Callable[..., None]"
    settings: tuple[str, ...] = ()
