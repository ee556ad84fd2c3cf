"""What is known of a metric, and the points that stand for all of its points when the run has ended."""

import math
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.conftest import BACKEND, NOW, WARNINGS, Store
from tracelet.backends.mlflow import rules
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Definition, Event, Metric, RunFinished
from tracelet.names import NAME_TAG, NameMap, digest_of

pytestmark = [pytest.mark.slow, *WARNINGS]

END: Final = RunFinished(NOW + 99, "FINISHED")
ALL: Final = ("min", "max", "mean", "last", "best")
VALUES: Final = [3.0, math.nan, 1.0, 5.0, 1.0, 2.0]


def definition(name: str, *summary: str, **more: Any) -> Definition:
    return Definition(**{"time": NOW, "name": name, "summary": summary, **more})


def points(name: str, values: list[float] = VALUES) -> list[Event]:
    return [Metric(name, value, step, NOW + step) for step, value in enumerate(values)]


def summaries(store: Store) -> dict[str, list[tuple[int | None, int, float]]]:
    """Return all metrics that were not logged."""
    mapped = NameMap(BACKEND.limits)
    logged = {mapped.to_tracker(event.name) for event in store.events() if isinstance(event, Metric)}
    return {name: store.history(name) for name in store.run.data.metrics if name not in logged}


def at(step: int) -> int:
    return round((NOW + step) * 1000)


def test_the_summaries_of_a_metric_are_metrics_at_their_own_step_and_time(store: Store) -> None:
    store.open().write([definition("loss", *ALL, goal="minimize"), *points("loss"), END])

    assert summaries(store) == {
        "loss.min": [(2, at(2), 1.0)],  # the first of two
        "loss.max": [(3, at(3), 5.0)],
        "loss.mean": [(5, at(5), 2.4)],
        "loss.last": [(5, at(5), 2.0)],
        "loss.best": [(2, at(2), 1.0)],
    }


def test_definitions_come_back_and_summaries_do_not(store: Store) -> None:
    known = [
        definition("loss", "min"),
        definition("acc*", "best", goal="maximize", step_metric="epoch"),
        definition("bare"),
    ]
    sent = [*points("loss"), *points("acc/a"), *points("bare")]
    store.open().write([definition("loss", "max"), *known, *sent, END])

    back = store.events()

    assert sorted(event.name for event in back if isinstance(event, Definition)) == ["acc*", "bare", "loss"]
    assert {event for event in back if isinstance(event, Definition)} == set(known)  # the later of a name
    assert len([event for event in back if isinstance(event, Metric)]) == len(sent)
    assert set(summaries(store)) == {"loss.min", "acc/a.best"}
    assert not [name for name in back[0].tags if name.startswith("tracelet.")]


def test_an_end_that_is_delivered_again_changes_nothing(store: Store) -> None:
    store.open().write([definition("*", "min", "max"), *points("loss"), *points("b"), END])
    before, tags = summaries(store), store.run.data.tags

    store.open().write([END])

    assert (summaries(store), store.run.data.tags) == (before, tags)
    assert set(before) == {"loss.min", "loss.max", "b.min", "b.max"}


def test_an_end_that_was_cut_short_is_taken_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise Unavailable("killed between listing and writing")

    store.open().write([definition("*", "min"), *points("loss")])
    writer = store.open()
    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.log_batch", killed)
        with pytest.raises(Unavailable):
            writer.write([END])
    assert summaries(store) == {}
    store.open().write([END])

    assert summaries(store) == {"loss.min": [(2, at(2), 1.0)]}


def test_a_metric_of_the_users_own_is_neither_written_over_nor_hidden(store: Store) -> None:
    own = [Metric("loss.min", 7.0, 2, NOW + 2)]  # where ours would be, too
    store.open().write([definition("loss", "min", "max"), *points("loss"), *own, END])
    store.open().write([Metric("loss.max", 8.0, 9, NOW + 9)])  # a child goes on after the end

    back = [event for event in store.events() if isinstance(event, Metric) and event.name != "loss"]

    assert sorted((event.name, event.value) for event in back) == [("loss.max", 8.0), ("loss.min", 7.0)]
    assert store.history("loss.min") == [(2, at(2), 7.0)]


def test_a_metric_of_nothing_but_nan_has_a_last_value_only(store: Store) -> None:
    store.open().write([definition("loss", *ALL), *points("loss", [math.nan] * 3), END])
    store.open().write([END])

    assert {name: len(found) for name, found in summaries(store).items()} == {"loss.last": 1}


def test_names_are_those_that_the_user_gave(store: Store) -> None:
    mapped = NameMap(BACKEND.limits)
    names = ["loss (%)", "x" * 300]
    known = [definition("loss (*", "min"), definition("x" * 300, "min"), definition("system/cpu", "max")]
    sent = [event for name in names for event in points(mapped.to_tracker(name))]
    writer = store.open()
    for cut, original in mapped.long_names.items():  # as the relay tells them
        store.client.set_tag(store.id, NAME_TAG + digest_of(cut), original)
    writer.write([*known, *sent, *points("system/cpu"), *points("system/gpu"), END])

    assert set(summaries(store)) == {
        "loss _0x28__0x25__0x29_.min",
        NameMap(BACKEND.limits).to_tracker("x" * 300 + ".min"),
        "system/cpu.max",
    }


def test_the_definition_that_fits_best_counts() -> None:
    known = [
        definition("*", "min"),
        definition("val/*", "max"),
        definition("val/loss", "last"),
        definition("v"),
    ]

    chosen = {
        name: found.summary
        for name in ("loss", "val/acc", "val/loss", "v", "system/cpu")
        if (found := rules.definition_of(name, known))
    }

    assert chosen == {"loss": ("min",), "val/acc": ("max",), "val/loss": ("last",), "v": ("min",)}


def test_a_history_of_several_pages_is_read_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracelet.backends.mlflow.client._HISTORY", 7)
    values = [float((7 * step) % 50) for step in range(50)]
    store.open().write([definition("loss", "max", "mean"), *points("loss", values), END])

    assert summaries(store) == {"loss.max": [(7, at(7), 49.0)], "loss.mean": [(49, at(49), 24.5)]}


def test_what_takes_too_long_is_gone_on_with_and_never_endless(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rules, "_BUDGET", 0.0)
    monkeypatch.setattr(rules, "_LOOK", 3)
    writer = store.open()
    writer.write([definition("*", "min"), *points("a", [1.0]), *points("b", VALUES), *points("c", [2.0])])

    tries = 0
    while True:
        tries += 1
        try:
            writer.write([END])
            break
        except Unavailable:
            assert tries < 5

    assert set(summaries(store)) == {"a.min", "c.min"}
    assert "metric b has too many points" in caplog.text


def test_a_definition_that_no_tag_can_hold_is_rejected(store: Store) -> None:
    with pytest.raises(Rejected, match=r"9,\d{3} characters"):
        store.open().write([definition("n" * 9000, "min")])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_figures_are_those_of_the_values(values: list[float]) -> None:
    found = rules._figures((rules.Point(value, step, step) for step, value in enumerate(values)), math.inf)

    assert found is not None
    assert found["min"] == (min(values), values.index(min(values)), values.index(min(values)))
    assert found["max"] == (max(values), values.index(max(values)), values.index(max(values)))
    assert found["last"].value == values[-1]
    assert found["mean"].value == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
