"""Names that a tracker refuses, and how they come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracelet.backend import Limits
from tracelet.names import NAME_TAG, NameMap, digest_of, originals, shorter

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

MLFLOW = Limits(name_length=250, name_characters=r"\w\-. :/", name_is_path=True)
SHORT = Limits(name_length=40, name_characters="a-z_", name_is_path=False)

# Any text, and much of what the escapes and the path rules are about.
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.lists(
        st.sampled_from(
            ["_", "0x", "_0x", "_0x_", "_0xh", "0123456789abcdef", "5f", "#", "/", ".", "..", "\n"]
        )
    ).map("".join),
    st.text("_0xh5f/.#\U0001f600", max_size=1000),
)


def mlflow_takes(name: str) -> None:
    """Ask MLflow's own validator, the one that its stores call; it raises if the name is refused."""
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    _validate_metric(name, 1.0, 0, 0)
    _validate_param(name, "value")
    _validate_tag(name, "value")


@pytest.mark.parametrize(
    "name", ["loss", "train/loss", "val loss:1", "épo-que.1", "a_0", "损失", "..."[:1] + "a"]
)
def test_an_allowed_name_stays_as_it_is(name: str) -> None:
    assert NameMap(MLFLOW).to_tracker(name) == name


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("loss (%)", "loss _0x28__0x25__0x29_"),
        ("", "_0x_"),
        ("_0x_", "_0x5f_0x_"),
        ("a_0x5f_", "a_0x5f_0x5f_"),
        ("/a", "_0x2f_a"),
        ("a//b", "a/_0x2f_b"),
        ("a/", "a_0x2f_"),
        (".", "_0x2e_"),
        ("..", "_0x2e_."),
        ("a/./b", "a/_0x2e_/b"),
        ("..a", "_0x2e_.a"),
        ("\U0001f600", "_0x1f600_"),
    ],
)
def test_a_refused_name_is_escaped_and_read_back(name: str, mapped: str) -> None:
    assert NameMap(MLFLOW).to_tracker(name) == mapped
    assert NameMap(MLFLOW).from_tracker(mapped) == name


@given(names)
def test_mlflow_takes_every_mapped_name(name: str) -> None:
    mlflow_takes(NameMap(MLFLOW).to_tracker(name))


@given(names, st.sampled_from([MLFLOW, SHORT]))
def test_every_name_is_read_back(name: str, limits: Limits) -> None:
    there = NameMap(limits)

    mapped = there.to_tracker(name)

    assert len(mapped) <= limits.name_length
    assert there.from_tracker(mapped) == name
    assert NameMap(limits).from_tracker(mapped, there.long_names) == name
    assert bool(digest_of(mapped)) == (mapped in there.long_names)


@given(st.lists(names, unique=True, min_size=2), st.sampled_from([MLFLOW, SHORT]))
def test_two_names_never_become_one(several: list[str], limits: Limits) -> None:
    there = NameMap(limits)

    assert len({there.to_tracker(name) for name in several}) == len(several)


@given(names)
def test_a_mapped_name_is_mapped_again_reversibly(name: str) -> None:
    there = NameMap(MLFLOW)

    once = there.to_tracker(name)

    assert there.from_tracker(there.to_tracker(once)) == once


def test_a_long_name_is_cut_between_escapes() -> None:
    there = NameMap(SHORT)

    mapped = there.to_tracker("a" * 16 + "#" + "b" * 100)

    assert mapped.startswith("a" * 16 + "_0xh")
    assert there.long_names == {mapped: "a" * 16 + "#" + "b" * 100}


def test_a_cut_name_without_its_original_stays_as_it_is() -> None:
    mapped = NameMap(MLFLOW).to_tracker("n" * 1000)

    assert NameMap(MLFLOW).from_tracker(mapped) == mapped


def test_a_lone_surrogate_is_a_character_like_any_other() -> None:
    there = NameMap(MLFLOW)

    assert there.from_tracker(there.to_tracker("\ud800")) == "\ud800"
    assert there.from_tracker(there.to_tracker("\ud800" * 300)) == "\ud800" * 300


def test_a_foreign_name_that_only_looks_escaped_stays_as_it_is() -> None:
    assert NameMap(MLFLOW).from_tracker("x_0xffffffff_") == "x_0xffffffff_"


@given(names, st.integers(25, 200))
def test_a_name_that_was_cut_is_cut_further_between_its_escapes(name: str, length: int) -> None:
    original = name + "#/" * 150
    cut = NameMap(MLFLOW).to_tracker(original)

    short = shorter(cut, length)

    assert len(short) <= length
    assert originals([short], {NAME_TAG + digest_of(cut): original}) == {short: original}
