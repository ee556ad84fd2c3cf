"""Which scalars TensorBoard is to show together.

A run has one layout. A writer is told its own, and in pieces: what is recorded is always the whole of
what all writers of the run were told so far, with the names that their tags have there. A chart of the
same category and title replaces the one before it.
"""

from typing import TYPE_CHECKING, Any

from tracelet.events import Chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tracelet.summaries.listening import Listening


def add_custom_scalars(
    to: "Listening", writer: Any, layout: "Mapping[str, Mapping[str, Sequence[Any]]]"
) -> None:
    """Record a layout: `{category: {title: [kind, tags]}}`."""
    for category, charts in layout.items():
        for title, (kind, tags, *_) in charts.items():
            _note(to, writer, (category, title), "margin" if kind == "Margin" else "multiline", tags)
    _record(to)


def add_custom_scalars_multilinechart(
    to: "Listening", writer: Any, tags: "Iterable[str]", category: str = "default", title: str = "untitled"
) -> None:
    """Record a layout of several lines in one chart."""
    _note(to, writer, (category, title), "multiline", tags)
    _record(to)


def add_custom_scalars_marginchart(
    to: "Listening", writer: Any, tags: "Iterable[str]", category: str = "default", title: str = "untitled"
) -> None:
    """Record a layout of a line with its bounds."""
    _note(to, writer, (category, title), "margin", tags)
    _record(to)


def _note(to: "Listening", writer: Any, called: tuple[str, str], kind: str, tags: "Iterable[str]") -> None:
    place = to.directory(writer)
    prefix, (category, title) = to.names.prefix(place), map(str, called)
    meant = tuple(to.names.meant(place, tag, may_match=kind == "multiline") for tag in tags)
    category = f"{prefix}/{category}" if prefix else category
    to.charts[category, title] = Chart(category=category, title=title, kind=kind, tags=meant)


def _record(to: "Listening") -> None:
    to.experiment.layout(tuple(to.charts.values()))
