"""The table of settings: sound in itself, and told in full by docs/settings.md."""

from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tracelet import launch
from tracelet.settings.kinds import DURATION, FLAG, NAMES, SIZE, TAGS
from tracelet.settings.table import CONFIG_KEYS, SETTINGS

PAGE: Final = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
WORD: Final = st.text("abcXYZ09_-.äß", min_size=1)


def test_every_default_is_what_its_own_text_means() -> None:
    for setting in SETTINGS.values():
        assert setting.kind.parse(setting.default) == setting.default
        assert setting.kind.parse(setting.kind.write(setting.default)) == setting.default


@given(st.floats(0, allow_infinity=False))
def test_a_duration_is_written_as_it_is_understood(seconds: float) -> None:
    assert DURATION.parse(DURATION.write(seconds)) == seconds


@given(st.integers(0, 2**52), st.booleans(), st.lists(WORD), st.dictionaries(WORD, WORD))
def test_so_is_everything_else(size: int, flag: bool, names: list[str], tags: dict[str, str]) -> None:
    assert SIZE.parse(SIZE.write(size)) == size
    assert FLAG.parse(FLAG.write(flag)) is flag
    assert NAMES.parse(NAMES.write(tuple(names))) == tuple(names)
    assert TAGS.parse(TAGS.write(tags)) == tags


def test_people_read_round_figures() -> None:
    written = [DURATION.write(seconds) for seconds in (0, 0.25, 30, 90, 600, 7200, 86400 * 30)]

    assert written == ["0s", "0.25s", "30s", "90s", "10m", "2h", "30d"]
    assert [SIZE.write(size) for size in (0, 1000, 512 << 10, 3 << 30)] == ["0", "1000", "512KB", "3GB"]


def row(name: str) -> str:
    """Write a setting's line in the page."""
    setting = SETTINGS[name]
    kind = " or ".join(f"`{word}`" for word in setting.kind.words) or setting.kind.name
    default = f"`{written}`" if (written := setting.write(setting.default)) else setting.otherwise
    about = setting.about.replace("|", "\\|")
    return f"| `{name}` | {kind} | {default} | {about} | `{setting.variable}` |"


def test_the_page_has_every_setting_as_it_is() -> None:
    rows = [row(name) for name in SETTINGS]

    assert [line for line in PAGE.splitlines() if line.startswith("| `") and "`TRACELET_" in line] == rows


def test_the_page_names_the_keys_of_config_and_what_has_no_effect_yet() -> None:
    (keys,) = [line for line in PAGE.splitlines() if line.startswith("Keys of `config`")]
    (idle,) = [line for line in PAGE.splitlines() if line.startswith("Without an effect")]

    assert {name for name in SETTINGS if f"`{name}`" in keys} == CONFIG_KEYS
    assert {name for name in SETTINGS if f"`{name}`" in idle} == set(launch._NOT_YET)
