"""The tree of exceptions is the one that its module draws, and messages suggest what was meant."""

import inspect
import re

import pytest

from tracelet import errors
from tracelet.errors import ConfigError, MissingDependency, TraceletError, Unavailable, suggestion


def drawn() -> dict[str, str]:
    """Read the tree in the docstring: each exception's name, and its parent's."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"( +[│├└─ ]*)([A-Z]\w+)(?: {2,}|$)", line)
        if match is None or line.lstrip()[0] not in "T│├└":
            continue
        depth, name = len(match[1]), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        parents[name] = above[-1][1] if above else ""
        above.append((depth, name))
    return parents


def test_the_docstring_s_tree_is_the_tree() -> None:
    classes = {
        name: found
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if found.__module__ == errors.__name__
    }

    parents = drawn()

    assert parents.pop("TraceletError") == ""
    assert set(parents) == set(classes) - {"TraceletError"}
    for name, parent in parents.items():
        assert classes[name].__bases__[0] is classes[parent], name


def test_a_mistake_is_also_what_python_would_call_it() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(MissingDependency, ImportError)
    assert issubclass(TraceletError, Exception)


def test_unavailable_says_when_to_come_back() -> None:
    assert Unavailable("down").retry_after is None
    assert Unavailable("busy", 3.0).retry_after == 3.0
    assert str(Unavailable("busy", 3.0)) == "busy"


@pytest.mark.parametrize(
    ("word", "said"),
    [("mlfow", " Did you mean 'mlflow'?"), ("wanbd", " Did you mean 'wandb'?"), ("zzz", ""), ("", "")],
)
def test_what_was_meant_is_suggested_when_it_is_close(word: str, said: str) -> None:
    assert suggestion(word, iter(["aim", "clearml", "mlflow", "wandb"])) == said
