"""What MLflow has no place for: files there that people open, and a JSON that tells what they are.

    Figure of pixels   the two files of one of MLflow's images (see `series`): its slider shows it
    Figure, a file     `figures/<name>/<when>.<ending>`; beside plotly's JSON a page, `<when>.html`
    Audio              `audio/<name>/<when>.wav`
    Video              `videos/<name>/<when>.gif`
    Html               `html/<name>/<when>.html`
    Table              `tables/<name>/<when>.json`; if it is a chart, its picture as a figure's
    Bundle             `bundles/<name>/<when>.files.json`, the list of its files, if it has any

`<when>` is `step-<step>+<milliseconds>+<digest>`, or begins with `no-step`, and the digest is that of
the record, so that a repetition replaces the files and nothing else does. Names are divided as those
of texts are (see `paths`). What was a file already keeps its own ending.

What paths cannot say is in a JSON, written last:

    Figure … Table     `<directory>/about/<digest>.json`
    Bundle             `bundles/<name>/<when>.json`
    Layout             `layouts/<milliseconds>+<digest>.json`

Its `event` is the event as it was logged, `path` the file of its payload, `shown` the other files
that were made of it, and `record` the digest that its own path has, too: by that it is ours.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from tracelet import media
from tracelet.backends.mlflow import LIMITS
from tracelet.backends.mlflow.held import held, milliseconds, step_of, worded
from tracelet.backends.mlflow.paths import divided
from tracelet.events import Audio, Bundle, Event, Figure, Html, Layout, Payload, Table, Video
from tracelet.names import NameMap

Recorded: TypeAlias = Figure | Audio | Video | Html | Table | Layout | Bundle
"""What has such a JSON."""
RECORDED: Final = (Figure, Audio, Video, Html, Table, Layout, Bundle)

_DIRECTORIES: Final[Mapping[type, str]] = {
    Figure: "figures",
    Audio: "audio",
    Video: "videos",
    Html: "html",
    Table: "tables",
    Layout: "layouts",
    Bundle: "bundles",
}
_DIGEST: Final = 32  # hex digits: no two of a run ever meet
_SHORT: Final = 8  # of them, beside a name, a step and a time
_WHEN: Final = r"(?:no-step|step--?\d+)\+-?\d+\+"
_JSON: Final = re.compile(
    rf"(?:figures|audio|videos|html|tables)/about/(?P<whole>[0-9a-f]{{{_DIGEST}}})\.json"
    rf"|bundles/.+/{_WHEN}(?P<bundle>[0-9a-f]{{{_SHORT}}})\.json"
    rf"|layouts/-?\d+\+(?P<layout>[0-9a-f]{{{_SHORT}}})\.json",
    re.DOTALL,
)
_TABLE: Final = re.compile(rf"tables/.+/{_WHEN}[0-9a-f]{{{_SHORT}}}\.json", re.DOTALL)
_NAMES: Final = NameMap(LIMITS)
_ENDING: Final = re.compile(r"[\w.-]{1,20}", re.ASCII)


class Place(NamedTuple):
    """Where an event is.

    Attributes:
        digest: Of the record.
        about: The path of its JSON.
        stem: That of the payload's file, without its ending.
        ending: Of that file; empty if there is none.
    """

    digest: str
    about: str
    stem: str
    ending: str

    @property
    def path(self) -> str:
        """The path of the payload's file."""
        return f"{self.stem}.{self.ending}" if self.ending else ""


class Found(NamedTuple):
    """What a JSON says; the name of a series is as it was mapped."""

    event: Recorded
    path: str
    shown: frozenset[str]


def digest_of(event: Event) -> str:
    """Return what tells a record from all others."""
    return hashlib.sha256(msgspec.json.encode(event)).hexdigest()[:_DIGEST]


def place_of(event: Recorded) -> Place:
    """Choose where an event is put; the name of a series is as the relay has mapped it."""
    digest, directory = digest_of(event), _DIRECTORIES[type(event)]
    end = f"{milliseconds(event.time)}+{digest[:_SHORT]}"
    if isinstance(event, Layout):
        return Place(digest, f"{directory}/{end}.json", "", "")
    number = event.step if isinstance(event, Bundle) else step_of(event)
    step = "no-step" if number is None else f"step-{number:08d}"
    name = _NAMES.to_tracker(event.name) if isinstance(event, Bundle) else event.name
    # MLflow's `load_table` takes no colon.
    stem = f"{directory}/{divided(name).replace(':', '_0x3a_')}/{step}+{end}"
    if isinstance(event, Bundle):
        return Place(digest, f"{stem}.json", stem, "files.json" if event.data else "")
    ending = media.ending(event)
    return Place(
        digest, f"{directory}/about/{digest}.json", stem, ending if _ENDING.fullmatch(ending) else "bin"
    )


def content_of(event: Recorded, place: Place, path: str, shown: Sequence[str]) -> bytes:
    """Write the JSON.

    Args:
        event: What was logged.
        place: Where it is put.
        path: The file of its payload; it need not be where `place` says.
        shown: The other files that were made of it.
    """
    said: dict[str, Any] = {"record": place.digest, "path": path, "shown": [*shown]}
    said = {name: value for name, value in said.items() if value}
    said["event"] = worded(msgspec.to_builtins(event))
    return json.dumps(said, ensure_ascii=False, allow_nan=False, indent=2).encode()


def may_be(path: str) -> bool:
    """Tell whether an artifact of this path may be such a JSON."""
    return _JSON.fullmatch(path) is not None


def is_table(path: str) -> bool:
    """Tell whether an artifact of this path may be a table of ours."""
    return _TABLE.fullmatch(path) is not None


def tables_of_others(told: str) -> str:
    """Leave our tables out of MLflow's list of them; empty if there are no others."""
    try:
        listed: list[Any] = json.loads(told)
        others = [one for one in listed if not is_table(str(one["path"]))]
    except (ValueError, TypeError, KeyError):
        return told
    return json.dumps(others) if others else ""


def found_at(path: str, content: bytes, sizes: Mapping[str, int]) -> Found | None:
    """Return what a JSON says; None if it is not one of ours, or what it speaks of is not there.

    Args:
        path: Where it was found.
        content: Its bytes.
        sizes: The size of each file of the run.
    """
    known = _JSON.fullmatch(path)
    try:
        said: Any = json.loads(content)
        file, shown = str(said.get("path", "")), frozenset(map(str, said.get("shown", ())))
        if known is None or not str(said["record"]).startswith(cast("str", known[known.lastgroup or 0])):
            return None
        event = msgspec.convert(said["event"], Recorded)
    except (ValueError, TypeError, KeyError, AttributeError):  # also what msgspec raises
        return None
    event = cast("Recorded", held(event))
    data: Payload | None = getattr(event, "data", None)
    if data is None or isinstance(event, Layout):
        return Found(event, "", shown)
    if file not in sizes:
        return None
    data = msgspec.structs.replace(data, size=sizes[file], path=file)
    return Found(msgspec.structs.replace(event, data=data), file, shown)
