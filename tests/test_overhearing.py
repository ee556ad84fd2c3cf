"""What a library computes inside a captured call, and its listeners need not compute again."""

import contextlib
import gc
import importlib
import itertools
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tracelet.patching import Patches, overheard

LIBRARY: Final = """
class Value:
    pass

def convert(value, more=0):
    return [value, more]

class Pen:
    def write(self, *values, fail=False):
        made = [convert(value, 1) for value in values]
        if fail:
            raise ValueError(values)
        return made

class Brush:
    def paint(self, *values):
        return Pen().write(*values)
"""
_numbers: Final = itertools.count()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A library of our own, imported."""
    name = f"overheard_library_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


@pytest.fixture
def patches() -> Iterator[Patches]:
    patches = Patches()
    yield patches
    patches.uninstall()


class Asking:
    """A listener that asks what was made of each argument."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def __call__(self, _: object, *values: object, **__: object) -> None:
        self.made += map(overheard, values)


def test_a_listener_gets_what_was_made_of_each_argument(library: Any, patches: Patches) -> None:
    asking, values = Asking(), [library.Value(), library.Value()]
    patches.wrap(library.__name__, "Pen.write", asking)
    patches.overhear(library.__name__, "convert")

    made = library.Pen().write(*values)

    assert all(mine is theirs for mine, theirs in zip(asking.made, made, strict=True))
    assert [one[0] for one in made] == values


def test_the_listener_of_an_outer_call_gets_it_too(library: Any, patches: Patches) -> None:
    asking, value = Asking(), library.Value()
    patches.wrap(library.__name__, "Brush.paint", asking)
    patches.wrap(library.__name__, "Pen.write", Asking())
    patches.overhear(library.__name__, "convert")

    (made,) = library.Brush().paint(value)

    assert asking.made[0] is made


def test_it_is_forgotten_when_the_call_ends_however_it_ends(library: Any, patches: Patches) -> None:
    patches.wrap(library.__name__, "Pen.write", lambda *_, **__: None)
    patches.overhear(library.__name__, "convert")
    value, failing = library.Value(), library.Value()

    library.Pen().write(value)
    with contextlib.suppress(ValueError):  # `pytest.raises` would keep the arguments itself
        library.Pen().write(failing, fail=True)
    library.convert(value)  # outside of any call

    assert overheard(value) is None
    assert overheard(failing) is None
    ghosts = [weakref.ref(value), weakref.ref(failing)]
    del value, failing
    gc.collect()
    assert [ghost() for ghost in ghosts] == [None, None]


def test_what_one_call_made_is_nothing_to_the_next(library: Any, patches: Patches) -> None:
    asking, value = Asking(), library.Value()
    patches.wrap(library.__name__, "Pen.write", asking)
    patches.overhear(library.__name__, "convert")
    library.Pen().write(value)
    patches.wrap(library.__name__, "Brush.paint", asking)
    library.Pen.write = lambda *_: None  # a way that does not convert

    library.Brush().paint(value)

    assert asking.made[1:] == [None]


def test_another_thread_hears_nothing_of_it(library: Any, patches: Patches) -> None:
    heard: list[Any] = []
    value = library.Value()

    def ask(*_: object) -> None:
        thread = threading.Thread(target=lambda: heard.append(overheard(value)))
        thread.start()
        thread.join(20)

    patches.wrap(library.__name__, "Pen.write", ask)
    patches.overhear(library.__name__, "convert")

    library.Pen().write(value)

    assert heard == [None]


def test_an_overheard_function_is_taken_back(library: Any) -> None:
    original, both = library.convert, (Patches(), Patches())
    for patches in both:
        patches.overhear(library.__name__, "convert")
        patches.overhear(library.__name__, "convert")
        patches.overhear(library.__name__, "no_function_of_this_version")

    both[0].uninstall()
    assert library.convert is not original
    assert library.convert("a", more=2) == ["a", 2]
    both[1].uninstall()

    assert library.convert is original
