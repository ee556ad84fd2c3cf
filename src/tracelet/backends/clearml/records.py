"""Events, params and artifacts as ClearML takes them; what of it is the same online and in an archive.

Metric         training_stats_scalar; NaN and infinities under a title of their own (see `titles`)
Params         an item of a section, with its type
Artifact       an artifact, called as its path
Bundle         an artifact that is the list of its files; what it is stands in its rows
"""

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tracelet.backends.clearml import titles
from tracelet.backends.clearml.held import moment, step_of
from tracelet.events import Artifact, Bundle, Metric, Plain

SCALAR: Final = "training_stats_scalar"
PLOT: Final = "plot"
SAMPLE: Final = "training_debug_image"
LOG: Final = "log"
SINGLE: Final = -(2**31)  # the step of what ClearML calls a single value
BUNDLE: Final = ("tracelet", "bundle")
"""The first row of an artifact that is a bundle of ours."""
_NUMBERS: Final = {"nan": 0.0, "inf": 1.0, "-inf": -1.0}
_ROWS: Final = ("time", "name", "kind", "path", "files", "reference", "aliases", "step", "metadata")
_titled = functools.lru_cache(maxsize=100_000)(titles.titled)


def scalar(point: Metric) -> dict[str, Any]:
    """Return a point as ClearML takes it."""
    value = point.value
    if math.isfinite(value):
        title, series = _titled(point.name)
    else:
        title, series = titles.not_finite(point.name)
        value = _NUMBERS[str(value)]
    return {
        "type": SCALAR,
        "metric": title,
        "variant": series,
        "iter": step_of(point),
        "timestamp": moment(point.time),
        "value": value,
    }


def point(document: Mapping[str, Any], name: str) -> Metric:
    """Return the point that a document of ours is."""
    value = float(document["value"])
    if document["metric"] == titles.NOT_FINITE and document["variant"] != titles.NOT_FINITE:
        value = next((float(word) for word, number in _NUMBERS.items() if number == value), value)
    return Metric(name, value, int(document["iter"]), document["timestamp"] / 1000)


def placed(event: Any) -> dict[str, Any]:
    """Return the place of an entry of a series: its title, series, step and time."""
    title, series = _titled(event.name)
    return {"metric": title, "variant": series, "iter": step_of(event), "timestamp": moment(event.time)}


def param(name: str, value: Plain) -> dict[str, str]:
    """Return a param as ClearML takes it."""
    section, called = titles.sectioned(name)
    text, kind = str(value), type(value).__name__
    if value is None:
        text = ""
    elif isinstance(value, (list, tuple, dict)):
        text, kind = json.dumps(value, ensure_ascii=False), "dict" if isinstance(value, dict) else "list"
    elif isinstance(value, str):
        kind = "str"
    return {"section": section, "name": called, "type": kind, "value": text}


def value_of(item: Mapping[str, Any]) -> Plain:
    """Return the value of a param; its text where its type does not fit."""
    text, kind = str(item.get("value") or ""), str(item.get("type") or "")
    if kind == "NoneType" or (not kind and not text):
        return None
    if kind == "bool":
        return text.lower() == "true" if text.lower() in {"true", "false"} else text
    try:
        if kind.partition("/")[0] in {"list", "tuple", "dict"}:
            return json.loads(text)
        return {"int": int, "float": float}.get(kind, str)(text)
    except ValueError:
        return text


def artifact(event: Artifact, uri: str, digest: str, kind: str) -> dict[str, Any]:
    """Return an artifact as ClearML takes it.

    Args:
        event: What was logged.
        uri: Where its bytes are.
        digest: Their sha256.
        kind: What they are, as in MIME.
    """
    return {
        "key": event.path,
        "type": "custom",
        "mode": "output",
        "uri": uri,
        "content_size": event.size,
        "hash": digest,
        "timestamp": int(event.time),
        "type_data": {"content_type": kind},
    }


def digest_of(event: Any) -> str:
    """Return what tells an event from all others."""
    return hashlib.sha256(msgspec.msgpack.encode(event)).hexdigest()[:24]


def bundle(event: Bundle, uri: str) -> dict[str, Any]:
    """Return the artifact that a bundle is.

    Args:
        event: What was logged.
        uri: Where the list of its files is, or it itself.
    """
    said = {name: getattr(event, name) for name in _ROWS}
    rows = [[name, json.dumps(value, ensure_ascii=False)] for name, value in said.items()]
    size = event.data.size if event.data is not None else 0
    return {
        "key": f"{event.kind or 'files'} {event.name} {digest_of(event)[:8]}",
        "type": event.kind or "files",
        "mode": "output",
        "uri": uri,
        "content_size": size,
        "timestamp": int(event.time),
        "type_data": {"content_type": "application/json" if event.data is not None else ""},
        "display_data": [[*BUNDLE], *rows],
    }


def bundle_of(item: Mapping[str, Any]) -> Bundle | None:
    """Return the bundle that an artifact is, without its payload; None if it is none of ours."""
    rows: list[list[str]] = item.get("display_data") or []
    if not rows or tuple(rows[0]) != BUNDLE:
        return None
    try:
        return msgspec.convert({"type": "Bundle", **{row[0]: json.loads(row[1]) for row in rows[1:]}}, Bundle)
    except (ValueError, IndexError):  # a later version's
        return None
