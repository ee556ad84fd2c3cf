"""Other people's classes, changed and changed back."""

import asyncio
import functools
import importlib
import inspect
import logging
import pickle  # noqa: TID251  what users do with the classes that we patch
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import wrapt

from tracelet import patching
from tracelet.patching import Patches

LIBRARY = """
class Base:
    def inherited(self, value):
        return value + 1

class Pen(Base):
    def write(self, text, times=1, *, fail=False):
        '''Write.'''
        if fail:
            raise ValueError(text)
        return text * times

    def call(self, function):
        return function()

    @staticmethod
    def static(text):
        return text

class Brush:
    def paint(self, text):
        return Pen().write(text)
"""


class Call(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Ear:
    """A listener that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[Call] = []

    def __call__(self, *args: object, **kwargs: object) -> None:
        self.heard.append(Call(args, kwargs))


@pytest.fixture
def name(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A library that is not imported yet; each test has one of its own."""
    name = f"library_of_{request.function.__name__}"
    (tmp_path / f"{name}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)

    yield name

    sys.modules.pop(name, None)


@pytest.fixture
def library(name: str) -> Any:
    """The same, imported."""
    return importlib.import_module(name)


@pytest.fixture
def patches() -> Iterator[Patches]:
    patches = Patches()

    yield patches

    patches.uninstall()


def test_a_listener_hears_a_call_with_the_callers_own_arguments(
    library: Any, name: str, patches: Patches
) -> None:
    pen, ear = library.Pen(), Ear()
    patches.wrap(name, "Pen.write", ear)

    results = [pen.write("a"), pen.write("b", 2), pen.write(times=3, text="c"), library.Pen.write(pen, "d")]

    assert results == ["a", "bb", "ccc", "d"]
    assert ear.heard == [
        Call((pen, "a"), {}),
        Call((pen, "b", 2), {}),
        Call((pen,), {"times": 3, "text": "c"}),
        Call((pen, "d"), {}),
    ]


def test_the_original_runs_first(library: Any, name: str, patches: Patches) -> None:
    order: list[str] = []
    patches.wrap(name, "Pen.call", lambda *_: order.append("listener"))

    library.Pen().call(lambda: order.append("original"))

    assert order == ["original", "listener"]


def test_an_exception_of_the_original_is_untouched_and_unheard(
    library: Any, name: str, patches: Patches
) -> None:
    ear, error = Ear(), RuntimeError("of the library")
    patches.wrap(name, "Pen.call", ear)

    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError) as caught:
        library.Pen().call(fail)

    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    assert ear.heard == []


def test_wrong_arguments_fail_with_the_same_words(library: Any, name: str, patches: Patches) -> None:
    def words(call: Callable[[], object]) -> str:
        with pytest.raises(TypeError) as caught:
            call()
        return str(caught.value)

    pen = library.Pen()
    calls = [pen.write, lambda: pen.write("a", 1, 2), lambda: pen.write("a", colour="red")]
    before = [words(call) for call in calls]
    patches.wrap(name, "Pen.write", Ear())
    calls[0] = pen.write

    assert [words(call) for call in calls] == before


def test_a_thread_hears_again_after_an_interruption(library: Any, name: str, patches: Patches) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.call", ear)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.Pen().call(interrupt)
    library.Pen().call(lambda: None)

    assert len(ear.heard) == 1


def test_an_error_of_a_listener_is_reported_and_swallowed(
    library: Any,
    name: str,
    patches: Patches,
    swallowed: list[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def deaf(*_: object) -> None:
        raise RuntimeError("of ours")

    patches.wrap(name, "Pen.write", deaf)

    results = [library.Pen().write("a") for _ in range(3)]

    assert results == ["a", "a", "a"]
    assert [str(error) for error in swallowed] == ["of ours"] * 3
    assert caplog.text.count("listening to Pen.write") == 1


def test_an_unimported_module_is_patched_when_it_is_imported(name: str, patches: Patches) -> None:
    ear = Ear()

    patches.wrap(name, "Pen.write", ear)
    imported_for_us = name in sys.modules
    importlib.import_module(name).Pen().write("a")

    assert not imported_for_us
    assert len(ear.heard) == 1


def test_an_import_that_fails_is_the_users_affair_and_the_next_one_is_patched(
    name: str, patches: Patches, tmp_path: Path
) -> None:
    source = tmp_path / f"{name}.py"
    source.write_text("raise ImportError('not today, and longer than the real one')" + "#" * len(LIBRARY))
    ear = Ear()
    patches.wrap(name, "Pen.write", ear)

    with pytest.raises(ImportError, match="not today"):
        importlib.import_module(name)
    source.write_text(LIBRARY)
    importlib.import_module(name).Pen().write("a")

    assert len(ear.heard) == 1


def test_a_module_that_another_thread_is_importing_is_waited_for(
    name: str, patches: Patches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate: Any = types.ModuleType("gate")
    gate.reached, gate.open = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "gate", gate)
    source = tmp_path / f"{name}.py"
    source.write_text("import gate\ngate.reached.set()\ngate.open.wait(20)\n" + LIBRARY)
    ear = Ear()

    importing = threading.Thread(target=importlib.import_module, args=(name,))
    importing.start()
    assert gate.reached.wait(20)
    wrapping = threading.Thread(target=patches.wrap, args=(name, "Pen.write", ear))
    wrapping.start()
    gate.open.set()
    wrapping.join(20)
    importing.join(20)
    sys.modules[name].Pen().write("a")

    assert len(ear.heard) == 1


def test_uninstall_leaves_the_very_same_object(library: Any, name: str, patches: Patches) -> None:
    original, keys = vars(library.Pen)["write"], list(vars(library.Pen))

    patches.wrap(name, "Pen.write", Ear())
    assert vars(library.Pen)["write"] is not original
    patches.uninstall()

    assert vars(library.Pen)["write"] is original
    assert list(vars(library.Pen)) == keys


def test_an_inherited_method_is_inherited_again(library: Any, name: str, patches: Patches) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.inherited", ear)

    assert library.Pen().inherited(1) == 2
    assert library.Base().inherited(1) == 2
    patches.uninstall()

    assert len(ear.heard) == 1
    assert "inherited" not in vars(library.Pen)
    assert library.Pen().inherited(1) == 2


def test_a_hook_that_fires_after_uninstall_does_nothing(name: str, patches: Patches) -> None:
    patches.wrap(name, "Pen.write", Ear())

    patches.uninstall()
    module = importlib.import_module(name)

    assert not hasattr(module.Pen.write, "__wrapped__")
    assert name not in patching._awaited
    assert name not in patching._hooked


def test_waiting_for_a_module_again_and_again_keeps_nothing(name: str) -> None:
    for _ in range(100):
        patches = Patches()
        patches.wrap(name, "Pen.write", Ear())
        patches.uninstall()

    assert patching._awaited[name] == []


def test_a_patch_on_top_of_ours_stays_and_ours_passes_through(
    library: Any, name: str, patches: Patches
) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.write", ear)
    ours = library.Pen.write

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> str:
        return f"<{ours(*args, **kwargs)}>"

    library.Pen.write = theirs
    assert library.Pen().write("a") == "<a>"
    patches.uninstall()

    assert vars(library.Pen)["write"] is theirs
    assert library.Pen().write("b") == "<b>"
    assert [call.args[1] for call in ear.heard] == ["a"]


def test_a_passing_layer_that_comes_to_light_again_is_used_again(
    library: Any, name: str, patches: Patches
) -> None:
    original, ear = library.Pen.write, Ear()
    patches.wrap(name, "Pen.write", Ear())
    ours = library.Pen.write
    library.Pen.write = lambda *args: ours(*args).upper()
    patches.uninstall()
    library.Pen.write = ours  # they take theirs back, and believe ours to be the original

    patches.wrap(name, "Pen.write", ear)
    library.Pen().write("a")
    layers = library.Pen.write
    patches.uninstall()

    assert layers is ours
    assert len(ear.heard) == 1
    assert library.Pen.write is original


def test_a_patch_on_top_of_ours_is_heard_through_by_the_next_installation(
    library: Any, name: str, patches: Patches
) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.write", Ear())
    ours = library.Pen.write

    @functools.wraps(ours)  # copies the marks on ours
    def theirs(*args: Any, **kwargs: Any) -> str:
        return ours(*args, **kwargs)

    library.Pen.write = theirs
    patches.uninstall()

    patches.wrap(name, "Pen.write", ear)
    library.Pen().write("a")
    patches.uninstall()

    assert len(ear.heard) == 1
    assert vars(library.Pen)["write"] is theirs


def test_another_librarys_proxy_still_sees_a_method(library: Any, name: str, patches: Patches) -> None:
    seen: list[tuple[object, object]] = []

    def watch(wrapped: Any, instance: object, args: Any, kwargs: Any) -> object:
        seen.append((instance, args))
        return wrapped(*args, **kwargs)

    proxy = wrapt.FunctionWrapper(library.Pen.write, watch)
    library.Pen.write = proxy
    pen, ear = library.Pen(), Ear()

    patches.wrap(name, "Pen.write", ear)
    assert pen.write("a") == "a"
    patches.uninstall()

    assert seen == [(pen, ("a",))]
    assert ear.heard == [Call((pen, "a"), {})]
    assert vars(library.Pen)["write"] is proxy


def test_wrapping_a_method_twice_hears_it_once(library: Any, name: str, patches: Patches) -> None:
    first, second = Ear(), Ear()
    patches.wrap(name, "Pen.write", first)
    patches.wrap(name, "Pen.write", second)

    library.Pen().write("a")

    assert len(first.heard) == 1
    assert second.heard == []


def test_uninstalling_twice_is_once(library: Any, name: str, patches: Patches) -> None:
    original = library.Pen.write
    patches.wrap(name, "Pen.write", Ear())

    patches.uninstall()
    patches.uninstall()

    assert library.Pen.write is original


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_installations_end_in_any_order(library: Any, name: str, first_out: int) -> None:
    original, both, ears = library.Pen.write, (Patches(), Patches()), (Ear(), Ear())
    for patches, ear in zip(both, ears, strict=True):
        patches.wrap(name, "Pen.write", ear)

    library.Pen().write("a")
    both[first_out].uninstall()
    library.Pen().write("b")
    both[1 - first_out].uninstall()

    assert library.Pen.write is original
    assert len(ears[first_out].heard) == 1
    assert len(ears[1 - first_out].heard) == 2


def test_the_outermost_call_speaks(library: Any, name: str, patches: Patches) -> None:
    inner, outer = Ear(), Ear()
    patches.wrap(name, "Pen.write", inner)
    patches.wrap(name, "Brush.paint", outer)

    library.Brush().paint("a")
    library.Pen().write("b")

    assert [call.args[1] for call in outer.heard] == ["a"]
    assert [call.args[1] for call in inner.heard] == ["b"]


def test_what_a_listener_calls_is_not_heard(library: Any, name: str, patches: Patches) -> None:
    heard: list[str] = []

    def talkative(pen: Any, text: str) -> None:
        heard.append(text)
        pen.write("from the listener")

    patches.wrap(name, "Pen.write", talkative)

    library.Pen().write("a")
    library.Pen().write("b")

    assert heard == ["a", "b"]


def test_a_thread_is_heard_while_another_is_inside_a_call(library: Any, name: str, patches: Patches) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.call", ear)
    patches.wrap(name, "Pen.write", ear)

    def elsewhere() -> None:
        thread = threading.Thread(target=library.Pen().write, args=("a",))
        thread.start()
        thread.join(20)

    library.Pen().call(elsewhere)

    assert [call.args[1] for call in ear.heard] == ["a", elsewhere]


def test_a_task_that_starts_inside_a_call_is_heard(library: Any, name: str, patches: Patches) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.call", ear)
    patches.wrap(name, "Pen.write", ear)

    async def write() -> None:
        await asyncio.sleep(0)
        library.Pen().write("a")

    async def main() -> None:
        await library.Pen().call(lambda: asyncio.ensure_future(write()))

    asyncio.run(main())

    assert [call.args[1] for call in ear.heard][1:] == ["a"]


def test_a_call_that_runs_during_uninstall_ends_as_it_would_have(
    library: Any, name: str, patches: Patches
) -> None:
    inside, uninstalled, results = threading.Event(), threading.Event(), []
    patches.wrap(name, "Pen.call", Ear())

    def wait() -> str:
        inside.set()
        assert uninstalled.wait(20)
        return "done"

    thread = threading.Thread(target=lambda: results.append(library.Pen().call(wait)))
    thread.start()
    assert inside.wait(20)
    patches.uninstall()
    uninstalled.set()
    thread.join(20)

    assert results == ["done"]


def test_a_bound_method_kept_past_uninstall_passes_through(library: Any, name: str, patches: Patches) -> None:
    ear = Ear()
    patches.wrap(name, "Pen.write", ear)
    write = library.Pen().write

    patches.uninstall()

    assert write("a", 2) == "aa"
    assert ear.heard == []


def test_nothing_that_can_be_asked_about_a_method_changes(library: Any, name: str, patches: Patches) -> None:
    def facts() -> list[object]:
        method = library.Pen.write
        return [
            inspect.signature(method),
            inspect.isfunction(method),
            method.__name__,
            method.__qualname__,
            method.__module__,
            method.__doc__,
            pickle.dumps(method),
            pickle.dumps(library.Pen),
        ]

    before = facts()
    patches.wrap(name, "Pen.write", Ear())

    assert facts() == before
    assert pickle.loads(pickle.dumps(library.Pen.write)) is library.Pen.write  # noqa: S301


@pytest.mark.parametrize("path", ["Pen.gone", "Gone.write", "Pen.static"])
def test_what_is_no_method_is_warned_of_and_left_alone(
    library: Any, name: str, path: str, patches: Patches, caplog: pytest.LogCaptureFixture
) -> None:
    before = dict(vars(library.Pen))

    with caplog.at_level(logging.WARNING):
        patches.wrap(name, path, Ear())
    patches.uninstall()

    assert f"{name} has no method {path}" in caplog.text
    assert dict(vars(library.Pen)) == before


def test_a_helper_makes_arguments_that_the_original_takes_while_somebody_listens(
    library: Any, name: str, patches: Patches
) -> None:
    original, ear = library.Pen.__dict__["write"], Ear()

    patches.wrap(name, "Pen.write", ear, lambda args, kwargs: ((args[0], "".join(args[1])), kwargs))
    pen = library.Pen()
    result = pen.write((letter for letter in "ab"), times=2)
    patches.uninstall()

    assert result == "abab"
    assert ear.heard == [Call((pen, "ab"), {"times": 2})]
    assert library.Pen.__dict__["write"] is original


def test_an_error_of_a_helper_leaves_the_call_as_it_was(
    library: Any, name: str, patches: Patches, swallowed: list[BaseException]
) -> None:
    ear = Ear()

    patches.wrap(name, "Pen.write", ear, lambda args, kwargs: (args[9], kwargs))

    assert library.Pen().write("a") == "a"
    assert len(ear.heard) == 1
    assert [type(error) for error in swallowed] == [IndexError]
