"""Foreign values become plain ones, or are refused in words."""

import datetime as dt
import enum
import functools
import math
import subprocess
import sys
import threading
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracelet import values


class Level(enum.IntEnum):
    HIGH = 3


class OneElement:
    """An array of somebody else's."""

    def item(self) -> float:
        return 2.5


@dataclass
class Config:
    lr: float


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


def test_a_number_that_is_masked_is_missing() -> None:
    hidden: Any = np.ma.array([1.0, 2.0], mask=True)

    assert math.isnan(values.number(hidden.mean()))
    assert math.isnan(values.number(hidden[:1]))
    assert values.number(np.ma.array([7], mask=False)) == 7.0


@given(st.floats())
def test_a_float_stays_as_it_is(value: float) -> None:
    assert values.number(value).hex() == value.hex()
    assert values.number(np.float64(value)).hex() == value.hex()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.5", r"\(str\) is no number"),
        (b"1", r"\(bytes\) is no number"),
        (bytearray(b"1"), r"\(bytearray\) is no number"),
        (None, r"\(NoneType\) is no number"),
        (np.str_("1"), r"\(str_\) is no number"),
        (np.array("1"), "type ndarray is not one number"),
        (1j, "type complex is not one number"),
        (np.complex64(1), "type complex64 is not one number"),
        (np.clongdouble(1), "type clongdouble is not one number"),
        (torch.tensor(1j), "type Tensor is not one number"),
        ([1.0], "type list is not one number"),
        ({"a": 1.0}, "type dict is not one number"),
        (object(), "type object is not one number"),
        (np.array([1.0, 2.0]), r"type ndarray of shape \(2,\) is not one number"),
        (np.array([]), r"type ndarray of shape \(0,\) is not one number"),
        (torch.zeros(2, 3), r"type Tensor of shape \(2, 3\) is not one number"),
        (torch.zeros(1, device="meta"), r"type Tensor of shape \(1,\) is not one number"),
        (Decimal("sNaN"), "type Decimal is not one number"),
        (10**400, "type int is not one number"),
    ],
)
def test_what_is_not_one_number_is_refused_in_words(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=f"{message}$"):
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
    with pytest.raises(TypeError, match="is no whole number"):
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
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        (-(2**70), str(-(2**70))),
        pytest.param(10**5000, hex(10**5000), id="too long for Python's own text"),
        (0.5, 0.5),
        (np.float64(0.5), 0.5),
        ("text", "text"),
        (np.str_("text"), "text"),
        ("\udc80", "\\udc80"),
    ],
)
def test_a_simple_value_keeps_its_kind(value: object, expected: object) -> None:
    found = values.simple(value)

    assert found == expected
    assert type(found) is type(expected)


def test_what_is_not_simple_is_refused() -> None:
    with pytest.raises(TypeError, match="a list is not a plain value"):
        values.simple([])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(False), False),
        (np.int32(4), 4),
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.array(3), 3),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([]), []),
        (np.array([np.longdouble(1)]), [np.longdouble(1)]),
        (np.clongdouble(1j), "1j"),
        (np.datetime64("2020-01-01T00:00:00.000000005"), "2020-01-01T00:00:00.000000005"),
        (np.zeros((100, 100)), "numpy.ndarray of shape (100, 100), float64"),
        (torch.tensor(4), 4),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.tensor([1.0], requires_grad=True), [1.0]),
        (torch.zeros(3, 1000), "torch.Tensor of shape (3, 1000), torch.float32"),
        (torch.zeros(2, device="meta"), "torch.Tensor of shape (2,), torch.float32"),
    ],
)
def test_a_small_array_is_a_list_and_a_large_one_is_told_by_its_shape(
    value: object, expected: object
) -> None:
    assert values.is_array(value)
    assert values.elements(value) == expected


@pytest.mark.parametrize(
    "value", [[1], (1,), "text", 1, np.float64, torch.Tensor, np.dtype("int8"), Config(1)]
)
def test_other_things_are_no_arrays(value: object) -> None:
    assert not values.is_array(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Path("/data/set"), "/data/set"),
        (PureWindowsPath("C:/x"), "C:\\x"),
        (Decimal("0.10"), "0.10"),
        (Fraction(1, 3), "1/3"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (1 + 2j, "(1+2j)"),
        (range(3), "range(0, 3)"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone.utc), "2026-01-02T03:00:00+00:00"),
        (dt.timedelta(seconds=90), "0:01:30"),
        (b"raw", "b'raw'"),
        (bytearray(b"x" * 1000), f"b'{'x' * 32}'… (1,000 bytes)"),
        (dict, "builtins.dict"),
        (list[int], "list[int]"),
        (torch.nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (torch.nn.ReLU(), "ReLU()"),
        (math.sqrt, "math.sqrt"),
        (math, "math"),
        (functools.partial(isinstance, 1), "functools.partial(builtins.isinstance, 1)"),
        (functools.partial(print, end=""), "functools.partial(builtins.print, end='')"),
        (torch.float32, "torch.float32"),
        (torch.device("cuda:0"), "cuda:0"),
        (np.dtype("int8"), "int8"),
        (OneElement(), f"{__name__}.OneElement object"),
        (threading.Lock(), "<unlocked _thread.lock object>"),
    ],
)
def test_the_text_of_a_thing_is_the_same_in_every_process(value: object, expected: str) -> None:
    assert values.text(value) == expected


def test_a_function_has_no_address() -> None:
    def local() -> None: ...

    assert "0x" not in values.text(local)
    assert values.text(lambda: None).endswith("<lambda>")
    assert values.text(functools.partial(local)).startswith(f"functools.partial({__name__}.")


def test_the_libraries_are_not_imported_for_the_user() -> None:
    program = (
        "import sys, tracelet.values; print([name for name in ('numpy', 'torch') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
