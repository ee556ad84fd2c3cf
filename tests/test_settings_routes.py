"""The setting `routes`: what it understands, what it refuses, and where it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracelet
from tests.recording import MEMORY
from tracelet.errors import ConfigError
from tracelet.journal import status
from tracelet.journal.status import Route
from tracelet.settings import TraceletSettings
from tracelet.settings.routes import KINDS, ROUTES, parse

NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=1)
ROUTE = st.fixed_dictionaries(
    {},
    optional={
        "include": st.lists(NAME.map("{}*".format), min_size=1),
        "exclude": st.lists(NAME, min_size=1),
        "rename": st.dictionaries(NAME, NAME, max_size=1),
        "kinds": st.lists(st.sampled_from(KINDS), min_size=1),
        "rate": st.floats(0, 1e6, exclude_min=True),
    },
)


@given(st.dictionaries(NAME, ROUTE, max_size=3))
def test_routes_are_written_as_they_are_understood(routes: dict[str, Any]) -> None:
    assert parse(ROUTES.write(routes)) == parse(routes) == routes


def test_one_name_stands_for_a_list_of_one() -> None:
    given = {"wandb": {"include": "train/*", "kinds": "metric, param", "rate": 2}}

    assert parse(given) == {"wandb": {"include": ["train/*"], "kinds": ["metric", "param"], "rate": 2.0}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"wandb": {"includes": ["a"]}},
            r"for 'wandb' a table of include, .* not 'includes'. Did you mean 'include'",
        ),
        ({"wandb": {"kinds": ["metrics"]}}, r"not 'metrics'. Did you mean 'metric'\?"),
        ({"wandb": {"kinds": []}}, "for kinds of 'wandb' some of metric, param"),
        ({"wandb": {"include": []}}, "for include of 'wandb' names, in which"),
        ({"wandb": {"include": [""]}}, "texts that are not empty, and not ''"),
        ({"wandb": {"exclude": 7}}, "for exclude of 'wandb' names"),
        ({"wandb": {"rate": 0}}, "points per second, such as 1 or 0.1, and not 0"),
        ({"wandb": {"rate": True}}, "points per second"),
        ({"wandb": {"rate": "10"}}, "points per second"),
        ({"wandb": {"rename": {"a": ""}}}, "a name that is not empty, and not 'a' → ''"),
        ({"wandb": {"rename": {"a/*": "b"}}}, r"one \* in both names, or in none"),
        ({"wandb": {"rename": {"*a*": "*b*"}}}, r"one \* in both names, or in none"),
        ({"wandb": {"rename": {"a": "c", "b": "c"}}}, "'a' and 'b' become 'c'"),
        ({"wandb": {"rename": {"a/*": "c/*", "b/*": "c/*"}}}, r"'a/\*' and 'b/\*' become 'c/\*'"),
        ({"wandb": {"include": ["a", "b"], "rename": {"a": "b"}}}, "'a' and 'b' become 'b'"),
        ({"wandb": {"include": ["params:*"]}}, r"'params:\*' begins with no kind. Did you mean 'param:\*'\?"),
        ({"wandb": {"exclude": ["Images:a"]}}, "Did you mean 'image:a'.* 'metric:Images:a'"),
        (
            {"wandb": {"rename": {"metrics:a": "b"}}},
            "'metrics:a' begins with no kind. Did you mean 'metric:a'",
        ),
        ({"wandb": {"include": ["param:"]}}, r"Did you mean 'param:\*'"),
        ({"wandb": {"exclude": ["note:*"]}}, "a note has none, only kinds leave it out"),
        (
            {"wandb": {"rename": {"artifact:a": "b"}}},
            "for rename of 'wandb' names of metric, .* not 'artifact:a'",
        ),
        ({"wandb": {"rename": {"metric:a": "metric:b"}}}, "a new name without a kind in front"),
        ({"wandb": {"rename": {"metric:a": "c", "b": "c"}}}, "'a' and 'b' become 'c'"),
        ({"wandb": {"rename": {"metric:a": "b"}, "include": ["metric:b"]}}, "'a' and 'b' become 'b'"),
        ({"wandb": ["train/*"]}, "for 'wandb' a table of include"),
        ({7: {}}, "by the name of each backend, a table"),
        (["wandb"], "by the name of each backend, a table"),
        ("{wandb", "JSON, and this is none"),
        ('["wandb"]', "by the name of each backend, a table"),
    ],
)
def test_what_is_certainly_a_mistake_is_refused_with_what_would_fit(given: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        parse(given)
    with pytest.raises(ConfigError, match=r"routes=.* \(from start_logging\) does not fit; it takes .*"):
        tracelet.start_logging(routes=given, backend="local")


@pytest.mark.parametrize(
    "given",
    [
        {"rename": {"metric:a": "c", "param:b": "c"}},
        {"rename": {"a": "c", "metric:a": "c"}},
        {"rename": {"a": "c", "metric:a": "d"}},
        {"rename": {"metric:a": "b"}, "include": ["metric:a", "param:b"]},
        {"include": ["test:*", "loss:a", ":x", "metric:metrics:a"]},
    ],
)
def test_what_may_be_meant_so_is_taken(given: dict[str, Any]) -> None:
    assert parse({"wandb": given}) == {"wandb": given}


def test_names_may_change_places() -> None:
    assert parse({"wandb": {"rename": {"a": "b", "b": "a"}, "include": ["a", "b"]}})


def routes_of(exp: tracelet.Experiment) -> dict[str, Route]:
    """Read what a run keeps: of its backends, and of others."""
    assert exp.directory is not None
    run = status.read_run(exp.directory)
    return {name: target.route for name, target in run.targets.items()} | run.routes


def test_routes_are_kept_with_the_run_whoever_said_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: dict[str, Any] = {"backend": [MEMORY, "local"], "mode": "offline"}
    nothing = {"memory": Route(), "local": Route()}
    (tmp_path / "tracelet.toml").write_text(
        'routes.trackio.rate = 0.1\n[routes.memory]\ninclude = ["a/*"]\nrename = { "a/*" = "*" }\n'
    )
    of_file = Route(include=("a/*",), rename={"a/*": "*"})

    with tracelet.start_experiment(**start) as exp:
        assert routes_of(exp) == nothing | {"memory": of_file, "trackio": Route(rate=0.1)}
    monkeypatch.setenv("TRACELET_ROUTES", json.dumps({"memory": {"kinds": ["metric"]}}))
    with tracelet.start_experiment(**start) as exp:
        assert routes_of(exp) == nothing | {"memory": Route(kinds=("metric",))}
    settings = TraceletSettings(routes={"memory": {"rate": 2}})
    with tracelet.start_experiment(settings=settings, **start) as exp:
        assert routes_of(exp) == nothing | {"memory": Route(rate=2.0)}
    with tracelet.start_experiment(settings=settings, routes={MEMORY: {"exclude": "b"}}, **start) as exp:
        assert routes_of(exp) == nothing | {"memory": Route(exclude=("b",))}


def test_a_mistake_in_a_file_is_said_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.tracelet]\nquiet = true\n[tool.tracelet.routes.wandb]\nrates = 1\n'
    )

    with pytest.raises(ConfigError, match=r"\(from pyproject.toml:5\).* not 'rates'. Did you mean 'rate'"):
        tracelet.start_logging(backend="local")


def test_a_route_to_no_backend_is_an_error_and_to_the_journal_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(
        ConfigError,
        match=r"routes \(from start_logging\(routes=…\)\): no backend called 'trakio'; .*'trackio'",
    ):
        tracelet.start_logging(backend="local", routes={"trakio": {"rate": 1}})

    tracelet.start_experiment(backend="local", routes={"local": {"rate": 1}}, mode="offline").stop()

    assert "the route to 'local' has no effect" in caplog.text
