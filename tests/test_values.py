"""Foreign values become plain ones, or are refused in words."""

import argparse
import enum
import math
import subprocess
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracelet import values


class Colour(enum.Enum):
    RED = "red"
    DEEP = ("a", 1)


class Named(str, enum.Enum):
    SGD = "sgd"


class Level(enum.IntEnum):
    HIGH = 3


class OneElement:
    """An array of somebody else's."""

    def item(self) -> float:
        return 2.5


class Fails:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@dataclass
class Config:
    lr: float


Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024  users have such, too


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (-0.0, -0.0),
        (math.inf, math.inf),
        (2**53 + 1, float(2**53)),
        (Decimal("0.1"), 0.1),
        (Decimal("NaN"), math.nan),
        (Fraction(1, 4), 0.25),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int8(-3), -3.0),
        (np.uint64(2**64 - 1), float(2**64 - 1)),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (np.array([0.5]), 0.5),
        (np.array([[[7]]]), 7.0),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([[0.5]]), 0.5),
        (torch.tensor(0.5, requires_grad=True) * 2, 1.0),
        (torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
        (torch.tensor(0.1, dtype=torch.float16), float(np.float16(0.1))),
        (torch.tensor(0.1, dtype=torch.float64), 0.1),
        (torch.tensor(3), 3.0),
        (torch.tensor(True), 1.0),
        (torch.tensor(math.nan), math.nan),
        (torch.nn.Parameter(torch.ones(1)), 1.0),
        (OneElement(), 2.5),
    ],
)
def test_a_number_becomes_a_float64(value: object, expected: float) -> None:
    found = values.number(value)

    assert type(found) is float
    assert found == expected or (math.isnan(found) and math.isnan(expected))
    assert math.copysign(1, found) == math.copysign(1, expected)


@given(st.floats())
def test_a_float_stays_as_it_is(value: float) -> None:
    assert values.number(value).hex() == value.hex()
    assert values.number(np.float64(value)).hex() == value.hex()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", "a str is not a number"),
        (b"1", "a bytes is not a number"),
        (bytearray(b"1"), "a bytearray is not a number"),
        (None, "a NoneType is not a number"),
        (np.str_("1"), "a str_ is not a number"),
        (np.array("1"), "a ndarray is not one number"),
        (1j, "a complex is not one number"),
        (np.complex64(1), "a complex64 is not one number"),
        (torch.tensor(1j), "a Tensor is not one number"),
        ([1.0], "a list is not one number"),
        ({"a": 1.0}, "a dict is not one number"),
        (object(), "a object is not one number"),
        (np.array([1.0, 2.0]), r"a ndarray of shape \(2,\) is not one number"),
        (np.array([]), r"a ndarray of shape \(0,\) is not one number"),
        (torch.zeros(2, 3), r"a Tensor of shape \(2, 3\) is not one number"),
        (torch.zeros(1, device="meta"), r"a Tensor of shape \(1,\) is not one number"),
        (Decimal("sNaN"), "a Decimal is not one number"),
        (10**400, "a int is not one number"),
    ],
)
def test_what_is_not_one_number_is_refused_in_words(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        values.number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (0, 0),
        (-1, -1),
        (True, 1),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (3.0, 3),
        (-0.0, 0),
        (Decimal(3), 3),
        (Fraction(6, 2), 3),
        (np.int64(5), 5),
        (np.uint8(5), 5),
        (np.float32(5), 5),
        (np.array(5), 5),
        (torch.tensor(5), 5),
        (torch.tensor([5]), 5),
        (torch.tensor(5.0), 5),
        (Level.HIGH, 3),
    ],
)
def test_a_step_becomes_an_int(value: object, expected: int | None) -> None:
    found = values.step(value)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "value", [3.5, math.nan, math.inf, -math.inf, np.float32(0.5), torch.tensor(math.nan)]
)
def test_a_step_between_two_steps_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="is not a whole number"):
        values.step(value)


@pytest.mark.parametrize("value", ["3", b"3", [3], 1j, np.array([1, 2]), object()])
def test_a_step_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="number"):
        values.step(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1e300, np.uint64(2**63), 10**400])
def test_a_step_beyond_64_bits_is_refused(value: object) -> None:
    with pytest.raises(OverflowError, match="does not fit into 64 bits"):
        values.step(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_step_of_64_bits_stays_as_it_is(value: int) -> None:
    assert values.step(value) == value
    assert values.step(np.int64(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (np.bool_(False), False),
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        (-(2**70), str(-(2**70))),
        (0.5, 0.5),
        (np.float64(0.5), 0.5),
        (np.int32(4), 4),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(4), 4),
        ("text", "text"),
        (np.str_("text"), "text"),
        (Colour.RED, "red"),
        (Colour.DEEP, ["a", 1]),
        (Named.SGD, "sgd"),
        (Level.HIGH, 3),
        (Path("/data/set"), "/data/set"),
        (PureWindowsPath("C:/x"), "C:\\x"),
        (dict, "builtins.dict"),
        (torch.nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (math.sqrt, "math.sqrt"),
        (Config, f"{__name__}.Config"),
        (Config(0.1), "Config(lr=0.1)"),
        (argparse.Namespace(a=1), "Namespace(a=1)"),
        (Decimal("0.1"), "Decimal('0.1')"),
        (b"raw", "b'raw'"),
        (1j, "1j"),
        ([1, (2, [3])], [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        ({1: {None: np.int8(2)}}, {"1": {"None": 2}}),
        (OrderedDict(a=Level.HIGH), {"a": 3}),
        (MappingProxyType({"a": Path("b")}), {"a": "b"}),
        ({}, {}),
        ([], []),
        (torch.tensor([1, 2]), "tensor([1, 2])"),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "device(type='cpu')"),
    ],
)
def test_anything_becomes_plain(value: object, expected: object) -> None:
    found = values.plain(value)

    assert found == expected
    assert type(found) is type(expected)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found)) == expected


def test_nan_and_infinities_stay_floats() -> None:
    assert values.plain([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.isnan(values.plain(np.float32("nan")))  # pyright: ignore[reportArgumentType]


def test_a_function_has_no_address() -> None:
    def local() -> None: ...

    assert "0x" not in str(values.plain(local))
    assert str(values.plain(lambda: None)).endswith("<lambda>")


def test_what_cannot_even_be_shown_is_kept_as_what_it_is() -> None:
    found = dict(values.flattened({"a": Fails(), "b": 1}))

    assert str(found["a"]).startswith(f"<{__name__}.Fails object")
    assert found["b"] == 1


def test_what_contains_itself_ends() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    loop: dict[str, Any] = {"a": 1}
    loop["loop"] = loop

    msgspec.msgpack.encode(values.plain(circle))
    msgspec.msgpack.encode(dict(values.flattened(loop)))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.complex_numbers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
        max_leaves=20,
    )
)
def test_what_is_plain_can_be_written_and_making_it_plain_again_changes_nothing(value: object) -> None:
    once = values.plain(value)

    assert msgspec.msgpack.encode(values.plain(once)) == msgspec.msgpack.encode(once)


@pytest.mark.parametrize(
    ("params", "flat"),
    [
        ({"a": {"b": {"c": 1}}, "d": 2}, {"a.b.c": 1, "d": 2}),
        ({"a": {}, "b": {"c": {}}}, {"a": {}, "b.c": {}}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}),
        ({1: {True: "x"}}, {"1.True": "x"}),
        ({"a": MappingProxyType({"b": Path("c")})}, {"a.b": "c"}),
        ({"": 1, "a": {"": 2}}, {"": 1, "a.": 2}),
        ({}, {}),
    ],
)
def test_nested_names_are_joined_by_dots(params: dict[Any, Any], flat: dict[str, object]) -> None:
    assert dict(values.flattened(params)) == flat


def test_the_libraries_are_not_imported_for_the_user() -> None:
    program = (
        "import sys, tracelet.values; print([name for name in ('numpy', 'torch') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
