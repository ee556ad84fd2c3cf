"""How counts, times and deliveries read, the same in lines, summaries and notebooks."""

from typing import Final

from tracelet.journal.census import Tally
from tracelet.journal.overview import BackendOverview

LONG: Final = 200  # characters of a tracker's error; some answer with a page of HTML
_STATES: Final = {
    "waiting": "not begun",
    "starting": "connecting",
    "idle": "delivering",
}
"""States whose names say too little to somebody who waits; the others are said as they are."""
_NOUNS: Final[dict[str, tuple[str, ...]]] = {
    "params": ("param",),
    "tags": ("tag",),
    "texts": ("text",),
    "images": ("image",),
    "figures": ("figure",),
    "histograms": ("histogram",),
    "audio": ("audio clip",),
    "videos": ("video",),
    "html": ("HTML page",),
    "tables": ("table",),
}
"""What is counted in a `Tally`: the noun for one, and for several where that has more than an "s"."""
_BUNDLES: Final[dict[str, tuple[str, ...]]] = {
    "": ("bundle",),
    "mesh": ("mesh", "meshes"),
}


def clean(text: str, most: int = 10_000) -> str:
    """Show what would break a line or speak to a terminal as Python would write it, and cut what is long."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Write a number with its noun: "1 record", "4,001 records"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def span(seconds: float) -> str:
    """Write a span of time: "0.8s", "42s", "2m 10s", "3h 4m"."""
    if seconds < 10:  # noqa: PLR2004  where a tenth matters
        return f"{max(0.0, seconds):.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s" if minutes else f"{rest}s"


def logged(tally: Tally) -> str:
    """Say what was logged: "12,004 points of 3 metrics, 14 params"."""
    parts: list[str] = []
    if tally.points:
        about = "" if tally.exact else "about "
        metrics = counted(tally.metrics, "metric")
        parts.append(f"{about}{counted(tally.points, 'point')} of {metrics}")
    parts += [counted(number, *nouns) for kind, nouns in _NOUNS.items() if (number := getattr(tally, kind))]
    parts += [counted(number, *_bundle(kind)) for kind, number in tally.bundles.items()]
    parts += [counted(tally.artifacts, "artifact")] if tally.artifacts else []
    return ", ".join(parts) or "nothing logged by tracelet"


def _bundle(kind: str) -> tuple[str, ...]:
    """Give the noun for one thing of files, and for several: its kind, which may be a word of the user's."""
    return _BUNDLES.get(kind) or (clean(kind, LONG),)


def state(said: str) -> str:
    """Say what a relay does, to somebody who waits for it."""
    return _STATES.get(said, said)


def delivery(backend: BackendOverview) -> str:
    """Say how a delivery stands: "delivered", "3,000 records left (unavailable): no route to host"."""
    if backend.state == "finished":
        parts = ["delivered" if backend.relayed else "kept"]
    elif backend.pending:
        parts = [f"{counted(backend.pending, 'record')} left ({state(backend.state)})"]
    else:
        parts = ["up to date" if backend.state in {"idle", "delivering"} else state(backend.state)]
    for number, what in (
        (backend.rejected, "rejected"),
        (backend.merged, "merged with equal ones"),
        (backend.degraded, "cut to fit"),
        (backend.unrouted, "not routed here"),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    text = ", ".join(parts)
    return f"{text}: {clean(backend.error, LONG)}" if backend.error else text
