"""What users hand in as models."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn, cast

from tracelet import arrays, values

FILE: Final = "model.pt"
_FLAVORS: Final = frozenset(
    {"catboost", "keras", "lightgbm", "prophet", "sklearn", "spacy", "statsmodels", "tensorflow", "xgboost"}
)
"""Libraries whose models MLflow saves in a module of the same name."""
_WHOLE: Final = (
    "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))"
)
"""Of `torch.distributed.checkpoint.state_dict`."""


def saving(given: Any) -> Callable[[Any], None]:
    """Find out how the weights of a model of torch's are written to a file that is open.

    Args:
        given: A module, or anything else with a `state_dict`; or what that gave, also as a part of a
            checkpoint.

    Raises:
        TypeError: It is no such thing; the message says what to do.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        if callable(getattr(cast("Any", type(given)), "state_dict", None)):
            _check_gathers_nothing(given)
            state = given.state_dict()
            _check_whole(_tensors(cast("Mapping[Any, Any]", state)) if isinstance(state, Mapping) else ())
            return lambda file: torch.save(state, file)
        if isinstance(given, Mapping) and (found := list(_tensors(cast("Mapping[Any, Any]", given)))):
            _check_whole(found)
            return lambda file: torch.save(given, file)
    name = values.class_of(cast("object", given))
    library = name.partition(".")[0]
    also = f", or call mlflow.{library}.log_model" if library in _FLAVORS else ""
    raise TypeError(
        f"a {name} is neither a module of torch nor a state dict; save it to a file and give its path{also}"
    )


def _tensors(given: Mapping[Any, Any]) -> Iterator[Any]:
    """Find the tensors of a state dict, or of a checkpoint that holds some."""
    for one in given.values():
        inner = cast("Mapping[Any, Any]", one).values() if isinstance(one, Mapping) else (one,)
        yield from filter(arrays.is_tensor, inner)


def _check_gathers_nothing(given: Any) -> None:
    """Refuse what collects its weights from all processes: those that record nothing would not take part."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None or not callable(getattr(cast("Any", type(given)), "modules", None)):
        return
    if any(isinstance(one, fsdp.FullyShardedDataParallel) for one in given.modules()):
        _refuse_a_part(given)


def _check_whole(tensors: Iterable[Any]) -> None:
    """Refuse tensors of which each process has a part, or of which the elements are elsewhere."""
    for one in tensors:
        kind = cast("Any", type(one))
        if hasattr(kind, "full_tensor") or hasattr(kind, "local_shards"):
            _refuse_a_part(one)
        if getattr(one, "is_meta", False):
            raise TypeError("it has tensors on the device meta, which have no elements; load them before")


def _refuse_a_part(given: object) -> NoReturn:
    message = f"a {values.class_of(given)} is spread over several processes; in each of them make"
    raise TypeError(f"{message} a state dict that is whole, and log that: {_WHOLE}")
