"""What ClearML calls a metric, a series, a param, a project and a task; and back.

A metric there has a title, the graph, and a series, a curve in it:

    "train/loss"      title "train", series "loss"; of more parts, the last one is the series
    "loss"            title "loss", series "loss", as ClearML itself takes it from TensorBoard
    "system/…"        title ":monitor:gpu" or ":monitor:machine", where ClearML shows the machine

Its server makes a point's key of task, step, title and series, joined by dashes. So that no two names
have one key, a title of ours has no dash but where it is the series too. What a title or series may not
hold, or what would be another name's, is escaped as in `tracelet.names`, by codes that stand in none of
the names that the relay gives.

A param has a section and a name: "optimizer/lr" is `lr` of the section "optimizer"; one without a slash
is in "General".
"""

import re
from typing import Final

from tracelet.names import EMPTY

NOT_FINITE: Final = "NaN and infinity"
"""The title of points that are no number ClearML can hold; the series is the whole name."""
GENERAL: Final = "General"
PROPERTIES: Final = "properties"
"""The section of what ClearML calls a user property."""
_LAST: Final = 0x10FFFF  # of Unicode
SHORTEST: Final = 3  # characters of a project's or task's name

SYSTEM: Final = "system/"
MACHINE: Final = ":monitor:machine"
GPU: Final = ":monitor:gpu"
_MARK: Final = "_0x2f_"  # in front of what would be another name's
_DASH: Final = "_0x2d_"
_ESCAPE: Final = re.compile(r"_0x(?P<code>[0-9a-f]+)_")  # from left to right, so that none is seen in another
_OURS: Final = frozenset({"-", ":", "N"})  # what is escaped in a title
_SPACES: Final = re.compile(r"\A\s+|\s+\Z")


def titled(name: str) -> tuple[str, str]:
    """Return the title and series of a metric, or of anything else that is logged in a series."""
    if name.startswith(SYSTEM) and name != SYSTEM:
        series = name.removeprefix(SYSTEM)
        return (GPU if series.startswith("gpu") else MACHINE), series
    title, slash, series = name.rpartition("/")
    if not slash:
        return name, name
    title = (title or EMPTY).replace("-", _DASH)
    if title == NOT_FINITE or title.startswith(":monitor:"):
        title = f"_0x{ord(title[0]):x}_{title[1:]}"
    series = series or EMPTY
    return title, _MARK + series if _is_twice(f"{title}-{series}") else series


def not_finite(name: str) -> tuple[str, str]:
    """Return the title and series of a metric's points that are not finite."""
    return NOT_FINITE, _MARK + name if name == NOT_FINITE else name


def named(title: str, series: str) -> str:
    """Return the name that `titled` or `not_finite` made a title and a series of."""
    if title == series:
        return title
    series = series.removeprefix(_MARK)
    if title == NOT_FINITE:
        return series
    if title in {MACHINE, GPU}:
        return SYSTEM + series
    title = _ESCAPE.sub(lambda found: one if (one := _char(found)) in _OURS else found[0], title)
    return f"{'' if title == EMPTY else title}/{'' if series == EMPTY else series}"


def foreign(title: str, series: str) -> str:
    """Return a name for a title and a series that somebody else has chosen."""
    if title in {MACHINE, GPU}:
        return SYSTEM + series
    return title if title == series or not series else f"{title}/{series}"


def sectioned(name: str) -> tuple[str, str]:
    """Return the section and the name of a param."""
    section, slash, rest = name.partition("/")
    if not slash:
        return GENERAL, _spaced(name)
    if section in {"", GENERAL, PROPERTIES} or section != section.strip() or not rest:
        return GENERAL, _MARK + _spaced(name)
    return section, _spaced(rest)


def param_of(section: str, name: str) -> str:
    """Return the param that `sectioned` made a section and a name of."""
    name = _ESCAPE.sub(lambda found: one if (one := _char(found)).isspace() else found[0], name)
    if section == GENERAL:
        return name.removeprefix(_MARK)
    return f"{section}/{name}"


def foreign_param(section: str, name: str) -> str:
    """Return a name for a param that somebody else has logged."""
    return name if section == GENERAL else f"{section}/{name}"


def project_of(name: str) -> str:
    """Return the name that a project has at ClearML, which takes slashes for projects within projects."""
    parts = (part.strip() for part in name.split("/"))
    return long_enough("/".join(part for part in parts if part))


def long_enough(name: str) -> str:
    """Return a name that is not too short for ClearML."""
    return name if len(name.strip()) >= SHORTEST else name + EMPTY


def _is_twice(text: str) -> bool:
    """Tell whether this is what a name makes that is its own title and series."""
    middle = len(text) // 2
    return text[middle] == "-" and text[:middle] == text[middle + 1 :]


def _spaced(name: str) -> str:
    """Escape spaces at a param's ends, which the server would cut off."""
    return _SPACES.sub(lambda found: "".join(f"_0x{ord(one):x}_" for one in found[0]), name)


def _char(found: re.Match[str]) -> str:
    """Return what an escape stands for; itself, if that is none of ours."""
    code = int(found["code"], 16)
    return chr(code) if code <= _LAST else found[0]
