"""ClearML's titles and series, sections and params: reversible, and no two names are one at its server."""

from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracelet.backends.clearml import LIMITS, titles
from tracelet.names import NameMap

PARTS: Final = st.sampled_from(
    ["", "-", "/", "loss", "a", "a-b", ":monitor:", "system", " ", "_0x2d_", titles.NOT_FINITE, "General"]
)
NAMES: Final = st.lists(PARTS, max_size=5).map("".join) | st.text(max_size=12)


def mapped(name: str) -> str:
    """Return a name as the relay gives it."""
    return NameMap(LIMITS).to_tracker(name)


@settings(deadline=None)
@given(NAMES)
@example("loss")
@example("loss/loss")
@example("a-b/c-a-b/c")
@example("system/gpu.0")
@example(":monitor:machine/cpu")
@example(f"{titles.NOT_FINITE}/loss")
def test_a_name_comes_back_of_its_title_and_series(name: str) -> None:
    wanted = mapped(name)

    assert titles.named(*titles.titled(wanted)) == wanted
    assert titles.named(*titles.not_finite(wanted)) == wanted


@settings(deadline=None)
@given(NAMES, NAMES)
@example("a-b/c", "a/b-c")
@example("val-loss", "val/loss-val-loss")
@example("loss", "loss/loss")
@example("", "/")
def test_no_two_names_have_one_key_at_the_server(one: str, other: str) -> None:
    one, other = mapped(one), mapped(other)

    keys = {"-".join(of(name)) for name in (one, other) for of in (titles.titled, titles.not_finite)}

    assert len(keys) == (2 if one == other else 4)


@settings(deadline=None)
@given(NAMES, NAMES)
@example("General/lr", "lr")
@example("properties/lr", "General/properties/lr")
@example(" lr", "lr")
def test_a_param_comes_back_of_its_section_and_name(one: str, other: str) -> None:
    one, other = mapped(one), mapped(other)
    places = [titles.sectioned(name) for name in (one, other)]

    assert [titles.param_of(*place) for place in places] == [one, other]
    assert len(set(places)) == (1 if one == other else 2)
    assert all(part and part == part.strip() for place in places for part in place)


def test_titles_are_what_clearml_itself_makes_of_tensorboards_tags() -> None:
    assert titles.titled("loss") == ("loss", "loss")
    assert titles.titled("train/loss") == ("train", "loss")
    assert titles.titled("model/layer1/weight") == ("model/layer1", "weight")


def test_a_project_has_the_name_that_clearml_lets_it_have() -> None:
    given_names = ("vision", "a/b/c", " /a b// c /", "", "ab")

    found = [titles.project_of(name) for name in given_names]

    assert found == ["vision", "a/b/c", "a b/c", "_0x_", "ab_0x_"]
