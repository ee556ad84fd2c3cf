"""Which step a point of somebody else's run has: W&B's own, or that of the metric named as its x axis."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tracelet.backends.wandb.values import number_of
from tracelet.events import Definition

_LARGEST: Final = 2.0**53


class Steps:
    """The steps of a run's points.

    Args:
        definitions: What the run's script has defined.
        having: Gives the values of one key of the run.
    """

    def __init__(self, definitions: Iterable[Definition], having: Callable[[str], Iterator[Any]]) -> None:
        named = {one.name: one.step_metric for one in definitions if one.step_metric not in {"", "_step"}}
        whole = {axis for axis in {*named.values()} if all(map(_is_whole, having(axis)))}
        of_whole = [(name, axis) for name, axis in named.items() if axis in whole]
        self._exact = {name: axis for name, axis in of_whole if "*" not in name}
        begins = [(name.removesuffix("*"), axis) for name, axis in of_whole if "*" in name]
        self._begins = sorted(begins, key=lambda one: -len(one[0]))

    def of(self, key: str, row: Mapping[str, Any]) -> int | None:
        """Return the step of a key in a row."""
        axis = self._exact.get(key)
        if axis is None:
            axis = next((axis for begin, axis in self._begins if key.startswith(begin)), None)
        value = None if axis is None or axis == key else row.get(axis)
        number = row.get("_step") if value is None else number_of(value)
        return int(number) if isinstance(number, (int, float)) else None


def _is_whole(value: Any) -> bool:
    number = number_of(value)
    return number is not None and number.is_integer() and abs(number) <= _LARGEST
