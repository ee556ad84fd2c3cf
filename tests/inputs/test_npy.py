"""Files of arrays are those that numpy writes and reads."""

import io

import numpy as np
import pytest
import torch

from tracelet.arrays import raw
from tracelet.inputs import npy


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u4", "i8", "f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1, 2, 3, 4)])
def test_a_file_is_byte_for_byte_numpys(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, dtype)
    expected = io.BytesIO()
    np.save(expected, array.astype(array.dtype.newbyteorder("<")))

    written = b"".join(npy.pieces(raw(array)))

    assert np.array_equal(np.load(io.BytesIO(written)), array)
    assert written == expected.getvalue()


def test_a_tensor_without_a_type_of_numpys_is_widened() -> None:
    written = b"".join(npy.pieces(raw(torch.ones(3, dtype=torch.bfloat16))))

    assert np.load(io.BytesIO(written)).dtype == np.float32
