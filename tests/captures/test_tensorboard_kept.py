"""What a run hears of figures, layouts, and of what is kept whole."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.utils.tensorboard import SummaryWriter

from tests.recording import recorded
from tracelet.captures.tensorboard import install
from tracelet.events import Artifact, Audio, Bundle, Chart, Figure, Layout, Metric, Table
from tracelet.experiment import Experiment
from tracelet.journal import blobs
from tracelet.patching import Patches


@pytest.fixture
def writer(exp: Experiment) -> Iterator[Any]:
    """A writer that the experiment hears."""
    before = dict(vars(SummaryWriter))
    patches = Patches()
    install(patches, exp)
    with SummaryWriter("runs/a") as writer:
        yield writer
    patches.uninstall()
    assert dict(vars(SummaryWriter)) == before


@pytest.fixture
def heard(exp: Experiment) -> Callable[[type], list[Any]]:
    return lambda kind: [event for event in recorded(exp) if isinstance(event, kind)]


@pytest.fixture
def content(exp: Experiment) -> Callable[[str], Any]:
    """What a file of the run holds, by its path."""

    def content(path: str) -> Any:
        assert exp.directory is not None
        (found,) = (event for event in recorded(exp) if isinstance(event, Artifact) and event.path == path)
        kept = blobs.path_of(exp.directory, found.digest).read_bytes()
        if path.endswith(".npy"):
            return np.load(io.BytesIO(kept))
        return msgspec.json.decode(kept) if path.endswith(".json") else kept

    return content


def drawn(width: int = 2) -> Any:
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(width, 1), dpi=40)
    figure.add_subplot().plot([0, 1], [0, 1])
    return figure


def test_a_figure_arrives_as_the_picture_in_the_event_file(
    exp: Experiment, writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    from matplotlib import pyplot as plt
    from PIL import Image

    writer.add_figure("a", drawn(), 1)
    writer.add_figure("b", [drawn(), drawn()], 2, close=False, walltime=5.5)
    writer.flush()
    left = len(plt.get_fignums())
    plt.close("all")

    assert left == 2
    one, several = heard(Figure)
    assert (one.name, one.step, one.data.shape) == ("a", 1, (40, 80, 3))
    assert (several.name, several.step, several.time, several.data.shape) == ("b", 2, 5.5, (80, 80, 3))
    assert exp.directory is not None
    ours = np.frombuffer(blobs.path_of(exp.directory, one.data.digest).read_bytes(), "u1")
    (file,) = Path("runs/a").glob("events*")
    values = [value for event in EventFileLoader(str(file)).Load() for value in event.summary.value]
    encoded = next(value for value in values if value.tag == "a").tensor.string_val[2]
    theirs = np.asarray(Image.open(io.BytesIO(encoded)))
    assert np.array_equal(ours.reshape(one.data.shape), theirs)


def test_a_closed_figure_is_drawn_again_where_its_picture_was_not_overheard(
    exp: Experiment, heard: Callable[[type], list[Any]]
) -> None:
    from matplotlib import pyplot as plt

    figure = drawn()
    plt.close(figure)

    exp.figure("a", figure, 1)

    assert [figure.data.shape[:2] for figure in heard(Figure)] == [(40, 80)]


def test_a_sound_has_one_channel_whatever_its_shape(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    for shape in ((400,), (1, 400), (1, 1, 400), (400, 1)):
        writer.add_audio("a", torch.zeros(shape), 1, 8000)
    with pytest.raises(AssertionError, match="1 dimensional"):
        writer.add_audio("a", torch.zeros(2, 400), 1)

    assert [(sound.data.shape, sound.rate) for sound in heard(Audio)] == [((400,), 8000)] * 4


def test_a_curve_has_as_many_thresholds_as_the_writer_gives_it(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    labels, predictions = torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.6, 0.9])

    writer.add_pr_curve("a", labels, predictions, 1, 500, weights=np.array([1.0, 2.0, 1.0]))
    writer.add_pr_curve_raw("b", *(torch.linspace(0, 1, 5) for _ in range(6)))

    assert [table.data.shape for table in heard(Table)] == [(127, 7), (5, 7)]


def test_a_layout_is_the_whole_of_what_all_writers_were_told(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    writer.add_custom_scalars(
        {"C": {"lines": ["Multiline", ["x", "y.*"]], "band": ["Margin", ["x", "l", "h"]]}}
    )
    writer.add_custom_scalars_multilinechart(["z"], "C", "lines")
    with SummaryWriter("runs/b.1") as other:
        other.add_scalar("x", 0.5, 1)
        other.add_custom_scalars_multilinechart(["x", "later", "^y.*", "u|v"])
        other.add_custom_scalars_marginchart(["x", "l(1)", "h"], "C", "band")

    first, *_, last = heard(Layout)
    band = Chart("C", "band", "margin", ("x", "l", "h"))
    assert first.charts == (Chart("C", "lines", "multiline", ("x", "y.*")), band)
    assert last.charts == (
        Chart("C", "lines", "multiline", ("z",)),
        band,
        Chart(
            "b.1/default",
            "untitled",
            "multiline",
            ("b.1/x", "b.1/later", r"b\.1/y.*", r"b\.1/(?:u|v)"),
        ),
        Chart("b.1/C", "band", "margin", ("b.1/x", "b.1/l(1)", "b.1/h")),
    )


def test_a_layouts_tag_is_the_name_that_its_scalars_have(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    with SummaryWriter("runs/a/b") as below:
        writer.add_scalar("first", 0.5, 1)
        below.add_scalar("loss", 0.5, 1)
        writer.add_scalar("b/loss", 0.5, 1)
        writer.add_custom_scalars_multilinechart(["b/loss"])

    assert [point.name for point in heard(Metric)] == ["first", "b/loss", "b/loss (2)"]
    assert heard(Layout)[0].charts[0].tags == ("b/loss (2)",)


def test_an_embedding_keeps_its_vectors_and_all_that_belongs_to_them(
    writer: Any, heard: Callable[[type], list[Any]], content: Callable[[str], Any]
) -> None:
    vectors, images = torch.rand(3, 5, dtype=torch.float64), torch.rand(3, 3, 8, 8)
    rows = [["a", 1], ["http://me:secret@host/x", float("nan")], [None, torch.tensor(3)]]

    writer.add_embedding(vectors, rows, images, 2, "words", ["letter", "number"])
    writer.add_embedding(vectors.numpy(), np.array([1, 2, 3]))

    first, second = heard(Bundle)
    assert (first.name, first.kind, first.step, first.files) == ("words", "embedding", 2, 3)
    assert (second.name, second.step, second.path) == ("default", None, "embeddings/default/no-step")
    assert np.array_equal(content(f"{first.path}/matrix.npy"), vectors.numpy())
    assert np.array_equal(content(f"{first.path}/images.npy"), images.numpy())
    assert content(f"{first.path}/metadata.json") == {
        "header": ["letter", "number"],
        "rows": [["a", 1], ["http://host/x", "nan"], [None, 3]],
    }
    assert content(f"{second.path}/metadata.json") == {"header": [], "rows": [1, 2, 3]}


def test_no_two_calls_share_a_path(writer: Any, heard: Callable[[type], list[Any]]) -> None:
    array = torch.eye(2)

    for tag in ("a", "a/b", "a//b", "a/../b", "..", "a\\b", "ä" * 300):
        for step in (0, 1, 1, None, None):
            writer.add_tensor(tag, array, step)

    bundles = heard(Bundle)
    paths = [bundle.path for bundle in bundles]
    assert paths[:5] == [
        "tensors/a/step-00000000",
        "tensors/a/step-00000001",
        "tensors/a/step-00000001-2",
        "tensors/a/no-step",
        "tensors/a/no-step-2",
    ]
    assert len(set(paths)) == len(bundles) == 35
    assert all(".." not in path.split("/") and "" not in path.split("/") for path in paths)
    assert max(len(part.encode()) for path in paths for part in path.split("/")) < 256


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(6).reshape(2, 3),
        lambda: torch.tensor([0.1, float("nan")], dtype=torch.float64, requires_grad=True),
        lambda: torch.tensor([1e30], dtype=torch.bfloat16),
        lambda: torch.tensor([1 + 2j, 3 - 4j]),
        lambda: torch.tensor([True]),
        lambda: torch.tensor(2.5),
    ],
    ids=["int64", "float64", "bfloat16", "complex64", "bool", "a number"],
)
def test_a_tensor_of_any_type_is_kept(
    writer: Any, heard: Callable[[type], list[Any]], content: Callable[[str], Any], make: Callable[[], Any]
) -> None:
    tensor = make()

    writer.add_tensor("a", tensor, 1, 5.5)

    (bundle,) = heard(Bundle)
    here = tensor.detach().resolve_conj()
    expected = (here.float() if here.dtype == torch.bfloat16 else here).numpy()
    found = content(f"{bundle.path}/tensor.npy")
    assert (bundle.kind, bundle.time, bundle.metadata) == ("tensor", 5.5, {"dtype": str(tensor.dtype)})
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=found.dtype.kind != "b")


def test_a_mesh_keeps_what_it_was_given(
    writer: Any, heard: Callable[[type], list[Any]], content: Callable[[str], Any]
) -> None:
    writer.add_mesh("a", [[[0.0, 1.0, 2.0]]], config_dict={"b": 1, "a": 2}, global_step=1, walltime=5.5)
    writer.add_mesh("a", torch.ones(1, 1, 3), torch.ones(1, 1, 3, dtype=torch.int), torch.zeros(1, 1, 3))

    first, second = heard(Bundle)
    assert (first.step, first.time, first.files, second.files) == (1, 5.5, 2, 3)
    assert content(f"{first.path}/vertices.npy").tolist() == [[[0.0, 1.0, 2.0]]]
    assert content(f"{first.path}/config.json") == {"a": 2, "b": 1}
    assert content(f"{second.path}/colors.npy").dtype == np.int32


class Logging(torch.nn.Linear):
    """A model that logs while it runs, and counts how often it does."""

    def __init__(self, writer: SummaryWriter) -> None:
        super().__init__(2, 1)
        self.runs = 0
        self._writer = writer

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  torch's parameter
        self.runs += 1
        self._writer.add_scalar("runs", self.runs)
        return super().forward(input)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_model_is_not_traced_again_and_what_it_logs_meanwhile_is_heard(
    writer: Any, heard: Callable[[type], list[Any]]
) -> None:
    bare = Logging(SummaryWriter("runs/elsewhere"))
    bare._writer.close()
    model = Logging(writer)
    writer.add_graph(model, torch.zeros(1, 2))
    runs = model.runs
    with SummaryWriter("runs/a/b") as other:
        other.add_graph(torch.nn.Linear(2, 1), torch.zeros(1, 2))

    assert [point.value for point in heard(Metric)] == list(range(1, runs + 1))
    assert [(bundle.name, bundle.path) for bundle in heard(Bundle)] == [
        ("graph", "graphs/graph/no-step"),
        ("b/graph", "graphs/b/graph/no-step"),
    ]


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("add_figure", ("a", None), AttributeError),
        ("add_audio", ("a", torch.zeros(2, 4)), AssertionError),
        ("add_video", ("a", torch.zeros(2, 4)), ValueError),
        ("add_pr_curve", ("a", None, None), NotImplementedError),
        ("add_pr_curve_raw", ("a", [1], [1, 2], [1], [1], [1], [1]), ValueError),
        ("add_custom_scalars", ({"a": {"b": ["Margin", ["x"]]}},), AssertionError),
        ("add_custom_scalars_marginchart", (["x"],), AssertionError),
        ("add_mesh", ("a", torch.zeros(3)), ValueError),
        ("add_embedding", (torch.zeros(3),), AssertionError),
        ("add_embedding", (torch.zeros(3, 2), ["a"]), AssertionError),
        ("add_tensor", ("a", None), AttributeError),
        ("add_graph", (None,), AttributeError),
        ("add_onnx_graph", (), TypeError),
    ],
)
def test_a_call_that_fails_fails_as_always_and_is_not_recorded(
    exp: Experiment, writer: Any, method: str, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(writer, method)(*arguments)

    kinds = (Figure, Audio, Table, Layout, Bundle, Artifact)
    assert [event for event in recorded(exp) if isinstance(event, kinds)] == []
