"""An array where it lies: mapped, not read."""

import math
from pathlib import Path
from typing import Any, Final, cast

from tracelet.events import Payload

BLOCK: Final = 1 << 20  # elements that are looked at together


def mapped(data: Payload, file: Path) -> Any:
    """Look at a payload's array where it lies.

    Raises:
        ValueError: The file is not what the payload says.
        OSError: It cannot be read.
    """
    import numpy as np

    kind: Any = cast("Any", np.dtype(data.dtype)).newbyteorder("<")
    if not math.prod(data.shape):
        return np.empty(data.shape, kind)
    return np.memmap(file, kind, "r", shape=data.shape)


def save(data: Payload, file: Path, to: Path) -> None:
    """Write a payload's array in numpy's own format.

    Raises:
        ValueError: The file is not what the payload says.
        OSError: It cannot be read, or there is no room.
    """
    import numpy as np

    with to.open("wb") as stream:
        np.save(stream, mapped(data, file))
