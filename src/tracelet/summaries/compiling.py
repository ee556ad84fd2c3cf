"""What `torch.compile` is to leave alone: our own code.

A writer may be called inside a compiled function. torch compiles what is called there: with us seconds
more, and once more for each new tensor, until its limit; where a user forbids that, values would be lost.
"""

import functools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tracelet.patching import Patches

RULES: Final = "torch._dynamo.trace_rules"


def leave_alone(patches: "Patches") -> None:
    """Have torch call our code as it is, now or as soon as it compiles anything."""
    patches.when_imported(RULES, _told)


@functools.cache  # once: it stays so, and concerns nobody else
def _told(rules: Any) -> None:
    add = getattr(rules, "add", None)  # private, and perhaps gone one day
    if callable(add):
        add("tracelet")
