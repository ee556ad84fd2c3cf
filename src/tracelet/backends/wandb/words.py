"""W&B's words for ours: the keys of a row, the config, and what we keep beside them.

A row of W&B's history is `{name: value, …}` with

    _step            the row's number, 0, 1, 2 … in the whole run
    _timestamp       the time of its first event
    tracelet/step    the user's step; a row of events without one has none
    tracelet/more    JSON text: what a series' entry holds beside what W&B shows, by the row's key

A number is a metric, an object with a `_type` an entry of a series. A row of nothing but `_step` and
`_timestamp` stands for one of which everything was rejected. W&B keeps some names for itself, and we
two: such a name gets a mark behind it that stands in no other name (see `tracelet.names`).

The config holds the params, nested where a name has dots, and under `tracelet` our own account of the
run. A param that W&B's JSON would change is there as JSON text too.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, cast

from tracelet.names import EMPTY

STEP: Final = "tracelet/step"
MORE: Final = "tracelet/more"
OURS: Final = "tracelet"
"""The key of the config that holds our own account of a run."""
FILES: Final = "artifacts/"
"""What the path of a run's file begins with that is an artifact of ours."""
MEDIA: Final = "media/"
"""What the path of a run's file begins with that a row names."""
TAG: Final = 64  # characters of a tag of W&B's
_KEPT: Final = frozenset({"_step", "_timestamp", "_runtime", "_wandb", STEP, MORE})
_ROOTS: Final = frozenset({"_wandb", "wandb_version", OURS})
_INTEGERS: Final = range(-(2**63), 2**63)
Path: TypeAlias = tuple[str, ...]


def key_of(name: str) -> str:
    """Return the key of a row for a name."""
    return f"{name}{EMPTY}" if name in _KEPT else name


def name_of(key: str) -> str:
    """Return the name that `key_of` made a key of."""
    return key.removesuffix(EMPTY) or key


def path_of(name: str) -> Path:
    """Return where a param belongs in the config; empty if only our own account can hold it."""
    parts = tuple(name.split("."))
    path = parts if all(parts) else (name,)
    return () if path[0] in _ROOTS or not name else path


def flat(params: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Give nested params one by one, under names joined by dots."""
    for name, value in cast("dict[Any, Any]", params).items():
        whole = f"{before}.{name}" if before else str(name)
        if isinstance(value, dict) and value:
            yield from flat(value, whole)
        else:
            yield whole, value


def is_exact(value: Any) -> bool:
    """Tell whether W&B's JSON gives a value back as it is."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return True
    if isinstance(value, int):
        return value in _INTEGERS
    if isinstance(value, float):
        return math.isfinite(value) and not value.is_integer()
    if isinstance(value, (list, tuple)):
        return all(map(is_exact, cast("list[Any]", value)))
    return False  # a mapping, which would be taken for several params


def shown(value: Any) -> Any:
    """Return a value as a config can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INTEGERS:
        return str(value)
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {str(key): shown(one) for key, one in cast("dict[Any, Any]", value).items()}
    return value


def text_of(value: Any) -> str:
    """Return a value as JSON text, exactly; NaN and infinities are words of Python's."""
    return json.dumps(value, ensure_ascii=False)


def value_of(text: str) -> Any:
    """Return the value that `text_of` made a text of."""
    return json.loads(text)


def params_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that a config holds."""
    own = {name: value for name, value in config.items() if name not in _ROOTS}
    exact = cast("dict[str, str]", ours_of(config).get("params", {}))
    return dict(flat(own)) | {name: value_of(text) for name, text in exact.items()}


def ours_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return our own account; empty of a run that somebody else has logged."""
    found: Any = config.get(OURS)
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "run_id" in found else {}
