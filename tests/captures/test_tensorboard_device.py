"""A tensor is brought to the host once: by the writer, as ever, and not by us."""

import contextlib
import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import pytest
import tensorboardX
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.tensorboard import SummaryWriter

from tests.recording import recorded
from tracelet.captures import tensorboard, tensorboardx
from tracelet.events import Histogram, Image, Metric
from tracelet.experiment import Experiment
from tracelet.patching import Patches

LIBRARIES: Final = {
    "torch": (SummaryWriter, tensorboard.install),
    "tensorboardx": (tensorboardX.SummaryWriter, tensorboardx.install),
}
WAYS_TO_THE_HOST: Final = ("cpu", "item", "numpy", "tolist", "__float__", "__array__", "to")


class Counted(torch.Tensor):
    """A tensor that counts how often its values are asked for."""

    __module__ = "torch.counted"  # tensorboardX tells a tensor by its class's name
    asked: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in WAYS_TO_THE_HOST:
            cls.asked.append(name)
        return super().__torch_function__(func, types, args, kwargs or {})


class Transfers(TorchDispatchMode):
    """Counts what brings a tensor's values to the host, or waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, to = str(func), (kwargs or {}).get("device")
        leaves = name.startswith("aten._to_copy") and to is not None and torch.device(to).type == "cpu"
        self.count += leaves or name.startswith("aten._local_scalar_dense")
        return func(*args, **(kwargs or {}))


def every_kind(writer: Any, number: Any, image: Any) -> None:
    """Give a writer tensors in all the ways in which they are given often."""
    writer.add_scalar("scalar", number, 1)
    writer.add_scalars("scalars", {"a": number, "b": number + 1}, 1)
    writer.add_hparams({"lr": 1.0}, {"final": number})
    writer.add_image("image", image, 1)
    writer.add_histogram("histogram", image, 1)


@contextlib.contextmanager
def listening(library: str, experiment: Experiment) -> Iterator[None]:
    patches = Patches()
    LIBRARIES[library][1](patches, experiment)
    yield
    patches.uninstall()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_captured_call_asks_a_tensor_for_its_values_as_often_as_a_bare_one(
    library: str, exp: Experiment
) -> None:
    kind: Callable[..., Any] = LIBRARIES[library][0]
    number = torch.tensor(1 / 3, dtype=torch.float64).as_subclass(Counted)
    image = torch.rand(3, 4, 4).as_subclass(Counted)

    with kind("runs/bare") as writer:
        every_kind(writer, number, image)
    bare = list(Counted.asked)
    Counted.asked.clear()
    with listening(library, exp), kind("runs/heard") as writer:
        every_kind(writer, number, image)
    heard = list(Counted.asked)
    Counted.asked.clear()

    assert len(bare) >= 12
    assert heard == bare
    values = {event.name: event.value for event in recorded(exp) if isinstance(event, Metric)}
    assert values == {"scalar": 1 / 3, "scalars/a": 1 / 3, "scalars/b": 4 / 3, "final": 1 / 3}


def test_no_tensor_is_kept_alive(exp: Experiment) -> None:
    tensor = torch.rand(1)

    with listening("torch", exp), SummaryWriter("runs/a") as writer:
        writer.add_scalar("scalar", tensor, 1)
        with pytest.raises(AssertionError):
            writer.add_scalar("scalar", tensor.expand(2), 1)
        ghost = weakref.ref(tensor)
        del tensor
        gc.collect()

        assert ghost() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a GPU that torch can use")
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_captured_call_waits_for_the_gpu_as_often_as_a_bare_one(library: str, exp: Experiment) -> None:
    kind: Callable[..., Any] = LIBRARIES[library][0]
    number = torch.tensor(1 / 3, dtype=torch.float64, device="cuda")
    image = torch.rand(3, 64, 64, device="cuda")

    def cost() -> tuple[int, int]:
        with kind("runs/a") as writer, warnings.catch_warnings(record=True) as waits, Transfers() as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                every_kind(writer, number, image)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return seen.count, sum("synchroniz" in str(wait.message) for wait in waits)

    bare = cost()
    with listening(library, exp):
        heard = cost()

    assert bare[0] >= 6
    assert heard == bare
    events = recorded(exp)
    values = {event.name: event.value for event in events if isinstance(event, Metric)}
    assert values == {"scalar": 1 / 3, "scalars/a": 1 / 3, "scalars/b": 4 / 3, "final": 1 / 3}
    assert sum(isinstance(event, (Image, Histogram)) for event in events) == 2
