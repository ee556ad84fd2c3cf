"""The paths that artifacts and texts of a run get in MLflow, and what such a path says.

An artifact keeps its path, but for the characters that MLflow's own client loses on the way to a
server, or refuses to give back: "#", "?", "%", a backslash and control characters are escaped as in
names (see `tracelet.names`), and so is a space that begins a part of a path: when a server lists its
files, the client loses it.

A text is an artifact of the path

    text/<name>/step-<step>+<milliseconds>+<digest>.txt
    text/<name>/no-step+<milliseconds>+<digest>.txt

A repetition replaces it, and no other text does. A name is as the relay has mapped it, so that
"_0x" in it always begins an escape of hexadecimal digits: a part of it that is too long for a file
system is divided by "_0x/", which stands in no name.
"""

import hashlib
import re
from typing import Final

from tracelet.backend import Limits
from tracelet.backends.mlflow.held import milliseconds
from tracelet.events import Text
from tracelet.names import NameMap

_CHARACTERS: Final = r"\x20-\x22\x24\x26-\x3e\x40-\x5b\x5d-\x7e\x80-\U0010ffff"
_MAP: Final = NameMap(Limits(name_length=100_000, name_characters=_CHARACTERS))
_DIVIDED: Final = "_0x/"
_LEADING: Final = re.compile(r"(^|/) ")
_LED: Final = re.compile(r"(^|/)_0x20_")
_LONGEST: Final = 240  # bytes of one part; file systems take 255
_PATH: Final = re.compile(
    r"text/(?P<name>.+)/(?:no-step|step-(?P<step>-?\d+))\+(?P<time>-?\d+)\+(?P<digest>[0-9a-f]{8})\.txt",
    re.DOTALL,
)


def escaped(path: str) -> str:
    """Return the path in MLflow of an artifact of ours."""
    return led(_MAP.to_tracker(path))


def unescaped(path: str) -> str:
    """Return the path that `escaped` made this one of, or this one if it did not."""
    original = _MAP.from_tracker(path)
    return original if escaped(original) == path else path


def led(path: str) -> str:
    """Escape a space that begins a part of a path; nobody else does, since names may have spaces."""
    return _LEADING.sub(r"\1_0x20_", path)


def unled(path: str) -> str:
    """Take back what `led` did."""
    return _LED.sub(r"\1 ", path)


def path_of(text: Text) -> str:
    """Choose the artifact that holds a text."""
    step = "no-step" if text.step is None else f"step-{text.step:08d}"
    return f"text/{divided(text.name)}/{step}+{milliseconds(text.time)}+{_digest(text.text)}.txt"


def is_path(path: str) -> bool:
    """Tell whether an artifact of this path may be a text."""
    return _PATH.fullmatch(path) is not None


def text_of(path: str, content: bytes) -> Text | None:
    """Return the text that an artifact holds, by its mapped name; None for any other artifact."""
    found = _PATH.fullmatch(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if found is None or found["digest"] != _digest(text):
        return None
    return Text(
        time=int(found["time"]) / 1000,
        name=undivided(found["name"]),
        text=text,
        step=None if found["step"] is None else int(found["step"]),
    )


def divided(name: str) -> str:
    """Make directories of a mapped name, of which none is called longer than a file may be."""
    return led("/".join(map(_divided, name.split("/"))))


def undivided(directories: str) -> str:
    """Return the mapped name that `divided` made directories of."""
    return unled(directories).replace(_DIVIDED, "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _divided(part: str) -> str:
    pieces = [""]
    for character in part:
        if len((pieces[-1] + character).encode()) > _LONGEST:
            pieces.append("")
        pieces[-1] += character
    return _DIVIDED.join(pieces)
