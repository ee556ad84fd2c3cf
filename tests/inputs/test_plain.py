"""Whatever users configure their training with becomes plain values; what is broken costs itself only."""

import argparse
import enum
import logging
import math
import threading
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pydantic.v1
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tracelet import guard, inputs
from tracelet.inputs import plain
from tracelet.inputs.plain import Walk


class Colour(enum.Enum):
    RED = "red"
    DEEP = ("a", 1)
    KIND = dict


class Named(str, enum.Enum):
    SGD = "sgd"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Inner:
    sizes: list[int] = field(default_factory=lambda: [1, 2])


@dataclass(frozen=True, slots=True)
class Data:
    common: ClassVar[int] = 0
    lr: float = 0.1
    inner: Inner = field(default_factory=Inner)


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    lr: float = 0.1
    inner: Inner = Inner()
    key: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    private: str = pydantic.Field("hunter2", exclude=True)
    old: int = pydantic.Field(1, deprecated=True)

    @pydantic.computed_field
    @property
    def double(self) -> float:
        return 2 * self.lr


class Model1(pydantic.v1.BaseModel):
    lr: float = 0.1
    key: pydantic.v1.SecretStr = pydantic.v1.SecretStr("hunter2")


@attrs.define
class Attrs:
    lr: float = 0.1
    _hidden: int = 1


class Struct(msgspec.Struct):
    lr: float = 0.1


class Pair(NamedTuple):
    x: object
    y: object


Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024  users have such, too


class Own:
    """A class of the user's, without fields or a text."""

    def __init__(self, **values: object) -> None:
        self.lr = 0.1
        self._cache = 1
        self.__dict__.update(values)


class Shown:
    def __init__(self) -> None:
        self.lr = 0.1

    def __repr__(self) -> str:
        return "Shown(…)"


class Client:
    def __repr__(self) -> str:
        return "<Client of http://me:hunter2@host/>"


class Fails:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@attrs.define
class FailsInPart:
    lr: float = 0.1
    other: int = 2

    def __getattribute__(self, name: str) -> object:
        if name == "other":
            raise RuntimeError("not now")
        return object.__getattribute__(self, name)


class Duck:
    """What ml_collections' ConfigDict is: no Mapping, and yet one."""

    def keys(self) -> list[str]:
        return ["lr"]

    def __getitem__(self, name: str) -> float:
        return 0.1


def plain_of(value: object) -> Any:
    return Walk("param").value(value)


def params(given: object) -> dict[str, Any]:
    return dict(inputs.params(given))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


STRUCTURES: dict[str, Callable[[], tuple[object, dict[str, object]]]] = {
    "dict": lambda: ({"a": {"b": {"c": 1}}, "d": 2}, {"a.b.c": 1, "d": 2}),
    "proxy": lambda: (MappingProxyType({"a": MappingProxyType({"b": Path("c")})}), {"a.b": "c"}),
    "ordered": lambda: (OrderedDict(a=Level.HIGH), {"a": 3}),
    "dataclass": lambda: (Data(), {"lr": 0.1, "inner.sizes": [1, 2]}),
    "pydantic": lambda: (
        Model(more=2),  # pyright: ignore[reportCallIssue]
        {"lr": 0.1, "inner.sizes": [1, 2], "key": "**********", "old": 1, "double": 0.2, "more": 2},
    ),
    "pydantic 1": lambda: (Model1(), {"lr": 0.1, "key": "**********"}),
    "attrs": lambda: (Attrs(), {"lr": 0.1, "_hidden": 1}),
    "msgspec": lambda: (Struct(), {"lr": 0.1}),
    "argparse": lambda: (argparse.Namespace(lr=0.1, _x=None), {"lr": 0.1, "_x": None}),
    "namespace": lambda: (SimpleNamespace(lr=0.1), {"lr": 0.1}),
    "NamedTuple": lambda: (Pair(1, Point(2, 3)), {"x": 1, "y.x": 2, "y.y": 3}),
    "omegaconf": lambda: (
        OmegaConf.create(
            {"a": 1, "b": "${a}", "m": "???", "bad": "${nope}", "l": ["${a}", "???"], "n": None}
        ),
        {"a": 1, "b": 1, "m": "???", "bad": "${nope}", "l": [1, "???"], "n": None},
    ),
    "omegaconf list": lambda: (OmegaConf.create([1, {"a": 2}]), {"0": 1, "1.a": 2}),
    "omegaconf circle": lambda: (OmegaConf.create({"a": "${b}", "b": "${a}"}), {"a": "${b}", "b": "${a}"}),
    "own class": lambda: (Own(), {"lr": 0.1}),
    "own class with a text": lambda: (Shown(), {"lr": 0.1}),
    "duck": lambda: (Duck(), {"lr": 0.1}),
    "empty": lambda: ({}, {}),
    "empty ones": lambda: ({"a": {}, "b": {"c": {}}}, {"a": {}, "b.c": {}}),
}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_structure_is_opened_wherever_it_stands(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    value, flat = STRUCTURES[kind]()

    assert params(value) == flat
    if kind not in {"own class with a text", "omegaconf list", "empty"}:
        assert params({"deep": [{"x": value}]}) == {f"deep.0.x.{name}": entry for name, entry in flat.items()}
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Colour.DEEP, ["a", 1]),
        (Colour.KIND, "KIND"),
        (Named.SGD, "sgd"),
        (Level.HIGH, 3),
        ([1, (2, [3])], [1, [2, [3]]]),
        (deque([1]), [1]),
        ({"a": 1}.keys(), ["a"]),
        (torch.Size([1, 2]), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", None, 1, "a"}), [None, 1, "a", "b"]),
        (range(10**9), "range(0, 1000000000)"),
        (np.array([Path("a"), None]), ["a", None]),
        (np.array([1, 2]), [1, 2]),
        (torch.tensor([[True]]), [[True]]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1]}), "pandas.DataFrame of shape (1, 1)"),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (pd.NaT, "NaT"),
        ([{}], [{}]),
        (Data, f"{__name__}.Data"),
        (Shown(), "Shown(…)"),
        (Own(lock=threading.Lock()), f"{__name__}.Own object"),
        (Own(data=torch.zeros(5000)), f"{__name__}.Own object"),
        (Own(many=list(range(500))), f"{__name__}.Own object"),
        (Own(inner=Own(lock=threading.Lock())), f"{__name__}.Own object"),
        (object(), "object object"),
        (pydantic.SecretStr("hunter2"), "**********"),
        (["postgresql://me:hunter2@db/x"], ["postgresql://db/x"]),
        (Client(), "<Client of http://host/>"),
        (pydantic.PostgresDsn("postgresql://me:hunter2@db/x"), "postgresql://db/x"),
    ],
)
def test_anything_becomes_plain(value: object, expected: object) -> None:
    found = plain_of(value)

    assert found == expected
    assert type(found) is type(expected)


def test_nan_and_infinities_stay_floats() -> None:
    assert plain_of([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.isnan(plain_of(np.float32("nan")))


def test_a_list_that_holds_structures_gives_each_entry_a_name() -> None:
    given = {"layers": [{"size": 1}, 7], "deep": [[Inner()]], "plain": [[1], [2]]}

    assert params(given) == {
        "layers.0.size": 1,
        "layers.1": 7,
        "deep.0.0.sizes": [1, 2],
        "plain": [[1], [2]],
    }


def test_keys_may_be_anything() -> None:
    given = {1: "a", None: "b", (1, "x"): "c", Colour.RED: "d", 0.5: "f", Colour.KIND: "g"}

    assert params({"k": given}) == {
        "k.1": "a",
        "k.None": "b",
        "k.(1, 'x')": "c",
        "k.red": "d",
        "k.0.5": "f",
        "k.KIND": "g",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
        ({"a": {"b": 1}, "a.b": 2}, {"a.b": 1, "a.b (2)": 2}),
        ({"a.b": 2, "a": {"b": 1}, "a.b (2)": 3}, {"a.b": 2, "a.b (2)": 1, "a.b (2) (2)": 3}),
    ],
)
def test_names_that_would_clash_are_counted_and_told(
    given: dict[Any, Any], expected: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    assert params(given) == expected
    assert "2 values have the name" in warnings(caplog)[0]


def test_what_contains_itself_ends() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    loop: dict[str, Any] = {"a": 1}
    loop["loop"] = loop
    own = Own()
    own.__dict__["me"] = own

    assert params({"circle": circle, "own": own}) == {"circle": [1, "…"], "own": f"{__name__}.Own object"}
    assert params(loop) == {"a": 1, "loop.a": 1, "loop.loop": "…"}


def test_what_is_nested_without_end_is_cut_and_told(caplog: pytest.LogCaptureFixture) -> None:
    deep: dict[str, Any] = {"leaf": 1}
    for _ in range(10_000):
        deep = {"x": deep}

    (name,) = params(deep)
    assert name.startswith("x.x.x")
    assert "nested too deep" in warnings(caplog)[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": [0.5] * 1_000_000}, "'a' has 1000000 entries; the first 1000 are kept"),
        ({"a": [[1] * 1000] * 1000}, "'a' has 1000 entries"),
        ({"a": [["x" * 1_000_000] * 1000]}, "'a.0' has 1000 entries"),
        ({str(index): index for index in range(100_000)}, "more than 50000 values"),
        ({"a": "x" * 3_000_000}, "'a' has 3000000 characters; the first 1000000 are kept"),
    ],
)
def test_what_is_huge_is_cut_and_told_once(
    given: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    params(given)
    found = params(given)

    assert len([text for text in warnings(caplog) if told in text]) == 1
    assert len(msgspec.msgpack.encode(found)) < 4 * 1024 * 1024


def test_a_cut_list_says_how_much_is_missing() -> None:
    found = plain_of(list(range(1_000_000)))

    assert found[:1000] == list(range(1000))
    assert found[1000:] == ["… and 999,000 more"]


def test_a_uri_that_is_cut_keeps_no_credentials() -> None:
    text = "x" * 999_980 + " mysql://me:hunter2hunter2hunter2@db/x"

    assert "hunter" not in plain_of(text)


@pytest.mark.parametrize("value", ["x" * 500_000 + "://" + "y" * 500_000, "a://" * 250_000])
def test_a_long_text_without_spaces_is_looked_through_in_no_time(value: str) -> None:
    assert len(plain_of(value)) > 400_000


def test_what_raises_costs_itself_only_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    given = {"a": [Fails() for _ in range(5)], "b": FailsInPart(), "c": 1}

    found = params(given)

    assert found == {"a": [f"{__name__}.Fails object"] * 5, "b.lr": 0.1, "c": 1}
    assert warnings(caplog) == [
        f"param 'a.0': its value raised RuntimeError; it is logged as '{__name__}.Fails object'",
        "param 'b.other': its value raised RuntimeError; it is not logged",
    ]


class Vicious(Mapping[str, object]):
    """A mapping of which one key raises."""

    def __getitem__(self, key: str) -> object:
        if key == "bad":
            raise OSError("gone")
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "bad", "b"])

    def __len__(self) -> int:
        return 3


def test_a_mapping_of_which_one_key_raises_keeps_the_rest() -> None:
    assert params({"m": Vicious()}) == {"m.a": "a", "m.b": "b"}


@pytest.mark.parametrize("given", [5, None, "text", [1], Colour.RED, len, Data, np.zeros(3), object()])
def test_what_has_no_names_is_warned_of(given: object, caplog: pytest.LogCaptureFixture) -> None:
    assert params(given) == {}
    assert params(given) == {}

    (warning,) = warnings(caplog)
    assert warning.startswith("log_params takes names and values, such as a dict or a dataclass; got ")


def test_a_warning_shows_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    params("http://me:hunter2@h/")

    assert "'http://h/'" in caplog.text


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.characters(categories=["Cs"])
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Colour, Data(), Attrs(), np.float32(1), torch.zeros(2), Own(), print])
    | st.builds(Fails)
    | st.frozensets(st.integers() | st.text() | st.none()),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.sampled_from(Colour), inner)
        | st.builds(Pair, inner, inner)
        | st.builds(SimpleNamespace, a=inner)
        | st.builds(lambda value: Own(inner=value), inner)
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_what_is_plain_can_be_written_and_read_and_stays_as_it_is(value: object) -> None:
    once = plain_of(value)
    guard.forget()

    written = msgspec.msgpack.encode(once)
    assert same(msgspec.msgpack.decode(written), once)
    assert same(plain_of(once), once)


@pytest.mark.slow
@given(st.dictionaries(st.text(), ANYTHING))
def test_no_param_is_lost_and_none_is_nested(given: dict[str, object]) -> None:
    found = inputs.params({"root": given} if given else {})
    guard.forget()

    names = [name for name, _ in found]
    assert (
        len(set(names))
        == len(names)
        == len(list(plain.flattened({"root": plain_of(given)} if given else {})))
    )
    assert not any(isinstance(value, dict) and value for _, value in found)


def same(one: object, other: object) -> bool:
    """Compare plain values, where NaN is NaN and 1 is not True."""
    return repr(one) == repr(other)
