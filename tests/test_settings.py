"""Which source wins, what its text means, and what is no setting at all."""

import contextlib
import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracelet.errors import ConfigError
from tracelet.settings import Resolved, TraceletSettings, resolve


def resolved(
    place: Path,
    arguments: dict[str, object] | None = None,
    config: dict[str, object] | None = None,
    in_code: TraceletSettings | None = None,
    environ: dict[str, str] | None = None,
) -> Resolved:
    return resolve(arguments or {}, config or {}, in_code, place, environ or {})


def dotenv(place: Path, *lines: str) -> None:
    (place / ".env").write_text("\n".join(lines))


def test_without_any_source_the_defaults_stand(place: Path) -> None:
    assert resolved(place) == Resolved()


def test_each_source_beats_those_below_it(place: Path) -> None:
    """Arguments, then config, then settings=, then variables, then .env, then defaults."""
    arguments: dict[str, object] = {"run_name": "argument"}
    config: dict[str, object] = {"run_name": "config"}
    in_code = TraceletSettings(run_name="settings")
    environ = {"TRACELET_RUN_NAME": "variable"}
    dotenv(place, "TRACELET_RUN_NAME=dotenv")

    found = [
        resolved(place, arguments, config, in_code, environ),
        resolved(place, None, config, in_code, environ),
        resolved(place, None, None, in_code, environ),
        resolved(place, None, None, None, environ),
        resolved(place),
    ]
    (place / ".env").unlink()
    found.append(resolved(place))

    assert [one.run_name for one in found] == ["argument", "config", "settings", "variable", "dotenv", ""]
    assert [one.sources.get("run_name") for one in found] == [
        "start_logging(run_name=…)",
        "config['run_name']",
        "settings=",
        "TRACELET_RUN_NAME",
        "TRACELET_RUN_NAME in .env",
        None,
    ]


def test_sources_that_speak_of_different_settings_add_up(place: Path) -> None:
    dotenv(place, "TRACELET_GROUP=g", "TRACELET_MODE=offline")

    found = resolved(
        place,
        {"project": "p", "backend": None},
        {"notes": "n"},
        TraceletSettings(backend="mlflow", track_system=True),
        {"TRACELET_MODE": "disabled"},
    )

    assert (found.project, found.notes, found.backend, found.group) == ("p", "n", ("mlflow",), "g")
    assert (found.mode, found.track_system) == ("disabled", True)


def test_an_argument_that_is_none_was_not_given(place: Path) -> None:
    assert resolved(place, {"project": None}, None, TraceletSettings(project="p")).project == "p"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("mlflow", ("mlflow",)),
        ("mlflow,wandb", ("mlflow", "wandb")),
        (" mlflow , wandb ,", ("mlflow", "wandb")),
        (["wandb", "mlflow"], ("wandb", "mlflow")),
        (("mlflow",), ("mlflow",)),
        ("", ()),
    ],
)
def test_backends_are_a_name_a_list_or_names_with_commas(place: Path, given: object, names: object) -> None:
    assert resolved(place, {"backend": given}).backend == names
    assert TraceletSettings(backend=given).backend == names
    if isinstance(given, str):
        assert resolved(place, environ={"TRACELET_BACKEND": given}).backend == names


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512KB", 512 * 1024),
        ("512 kb", 512 * 1024),
        ("2MB", 2 * 1024**2),
        ("1.5GB", 3 * 1024**3 // 2),
        ("7B", 7),
        ("7", 7),
        (7, 7),
        (7.9, 7),
        ("0", 0),
    ],
)
def test_sizes_are_bytes_or_say_their_unit(place: Path, text: object, size: int) -> None:
    found = resolved(place, config={"max_image_size": text}).max_image_size

    assert (found, type(found)) == (size, int)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("250ms", 0.25),
        ("10m", 600.0),
        ("1.5 h", 5400.0),
        ("2d", 172800.0),
        ("5", 5.0),
        (5, 5.0),
        (0, 0.0),
        (" 5s ", 5.0),
    ],
)
def test_durations_are_seconds_or_say_their_unit(place: Path, text: object, seconds: float) -> None:
    assert resolved(place, {"stop_timeout": text}).stop_timeout == seconds


@pytest.mark.parametrize(
    ("word", "meant"), [("1", True), ("TRUE", True), (" on ", True), ("No", False), ("0", False)]
)
def test_flags_are_words(place: Path, word: str, meant: bool) -> None:
    assert resolved(place, environ={"TRACELET_TRACK_GIT": word}).track_git is meant


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ({"a": 1, 2: "b"}, {"a": "1", "2": "b"}),
        (["x", "y"], {"x": "true", "y": "true"}),
        ("x, y", {"x": "true", "y": "true"}),
        ("a=1, url = http://h/?x=y ,c,d=", {"a": "1", "url": "http://h/?x=y", "c": "true", "d": ""}),
    ],
)
def test_tags_are_a_mapping_or_names(place: Path, given: object, tags: dict[str, str]) -> None:
    assert resolved(place, config={"tags": given}).tags == tags


@pytest.mark.parametrize("word", ["Offline", "online", "DISABLED"])
def test_words_may_be_written_large(place: Path, word: str) -> None:
    assert resolved(place, environ={"TRACELET_MODE": word}).mode == word.lower()


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("mode", "ofline", "online or offline or disabled"),
        ("mode", 3, "online or offline or disabled"),
        ("durability", "always", "process or second or record"),
        ("stop_timeout", "soon", "seconds, or a duration"),
        ("stop_timeout", -1, "seconds, or a duration"),
        ("stop_timeout", "-1s", "seconds, or a duration"),
        ("stop_timeout", "5 weeks", "seconds, or a duration"),
        ("stop_timeout", True, "seconds, or a duration"),
        ("stop_timeout", float("nan"), "seconds, or a duration"),
        ("max_image_size", "big", "bytes, or a size"),
        ("max_image_size", float("inf"), "bytes, or a size"),
        ("max_image_size", "9" * 400, "bytes, or a size"),
        ("track_git", "perhaps", "true or false"),
        ("track_git", 2, "true or false"),
        ("project", 3, "a text"),
        ("project", None, "a text"),
        ("backend", 3, "a name, a list of names"),
        ("backend", [3], "a text"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_would(
    place: Path, name: str, value: object, takes: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=.* \(from settings=\) does not fit; it takes {takes}"):
        TraceletSettings(**{name: value})
    if value is not None:
        with pytest.raises(ConfigError, match=rf"\(from start_logging\) does not fit; it takes {takes}"):
            resolved(place, {name: value})


def test_a_variable_that_does_not_fit_is_told_with_its_name_and_place(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"from TRACELET_MODE in the environment\) does not fit"):
        resolved(place, environ={"TRACELET_MODE": "x"})
    dotenv(place, "TRACELET_TRACK_GIT=perhaps")
    with pytest.raises(ConfigError, match=r"from TRACELET_TRACK_GIT in \.env\) does not fit"):
        resolved(place)


def test_an_unknown_name_in_code_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no setting called 'proj'; there are .*Did you mean 'project'\?"):
        TraceletSettings(proj="p")
    with pytest.raises(ConfigError, match=r"no setting called 'zzz'; there are exp_name, .*\.$"):
        TraceletSettings(zzz=1)


def test_an_unknown_variable_is_a_warning(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    dotenv(place, "TRACELET_ZZZ=1")

    found = resolved(place, environ={"TRACELET_BACKENDS": "mlflow", "TRACELET_DIR": "x", "OTHER": "y"})

    assert found.sources == {}
    messages = {record.getMessage() for record in caplog.records}
    assert messages == {
        "TRACELET_BACKENDS in the environment is no setting of tracelet. Did you mean 'TRACELET_BACKEND'?",
        "TRACELET_ZZZ in .env is no setting of tracelet.",
    }


def test_an_empty_variable_was_not_set(place: Path) -> None:
    dotenv(place, "TRACELET_PROJECT=below")

    assert resolved(place, environ={"TRACELET_PROJECT": "", "TRACELET_MODE": ""}).project == "below"


def test_settings_in_code_show_what_was_set_and_default_to_the_rest() -> None:
    found = TraceletSettings(project="p", track_system=True, linger="10m", python=Path("/usr/bin/python"))

    assert dict(found.items()) == {
        "project": "p",
        "track_system": True,
        "linger": 600.0,
        "python": "/usr/bin/python",
    }
    assert (found.project, found.linger, found.mode) == ("p", 600.0, "online")
    assert repr(found) == (
        "TraceletSettings(project='p', track_system=True, python='/usr/bin/python', linger=600.0)"
    )
    assert copy.deepcopy(found).project == "p"
    with pytest.raises(AttributeError):
        _ = found.proj


def test_a_backend_is_told_the_settings_that_bear_its_name(place: Path) -> None:
    found = resolved(
        place,
        {
            "backend_url": "http://h",
            "mlflow_tracking_uri": "sqlite:///x",
            "mlflow_attach_timeout": "5s",
            "wandb_entity": "e",
        },
    )

    assert found.of("mlflow") == {"tracking_uri": "sqlite:///x", "backend_url": "http://h"}
    assert found.of("wandb") == {"entity": "e", "backend_url": "http://h"}
    assert resolved(place).of("mlflow") == {}


@given(st.text())
def test_no_text_makes_a_measure_fail_otherwise_than_with_a_config_error(text: str) -> None:
    for name in ("stop_timeout", "max_image_size", "mode", "track_git"):
        with contextlib.suppress(ConfigError):
            TraceletSettings(**{name: text})


class Mute:
    """What some libraries' proxies do: no text, whoever asks."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tags": {"a": Mute()}}, "tags=a dict .* does not fit: its value raised RuntimeError"),
        ({"project": Mute()}, "project=a Mute .* does not fit; it takes a text"),
        ({"linger": 10**400}, "linger=10+… .* does not fit; it takes seconds"),
        ({"mode": "http://me:secret@host/" + "x" * 10**6}, "mode='http://host/x+… .* does not fit"),
    ],
)
def test_a_value_is_told_of_whatever_it_is(place: Path, given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        resolved(place, given)

    assert len(str(raised.value)) < 500
