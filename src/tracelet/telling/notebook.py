"""A run as HTML, for notebooks: its name, how it stands, where it is shown, and where its journal lies.

Notebooks ask for it by the method `_repr_html_`; nothing of IPython is imported. Colours are
the page's own, or of a strength that light and dark pages can both bear. A card shows the moment
in which it was made: show the experiment again for another.
"""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracelet.journal.census import census
from tracelet.journal.overview import BackendOverview, RunOverview
from tracelet.telling import words

if TYPE_CHECKING:
    from tracelet.telling.summary import Summary

_BAD: Final = "#d64545"
_FAIR: Final = "#c7811b"
_GOOD: Final = "#2e9e57"
_COLOURS: Final = {
    "FAILED": _BAD,
    "FINISHED": _GOOD,
    "KILLED": _FAIR,
    "RUNNING": "#3f87d6",
    "finished": _GOOD,
    "refused": _BAD,
    "stopped": _FAIR,
    "unavailable": _FAIR,
}
_FRAME: Final = (
    "display:inline-block;border:1px solid rgba(128,128,128,0.45);border-radius:6px;padding:8px 14px"
)


def of_experiment(seen: RunOverview) -> str:
    """Draw a run as it stands."""
    said = [words.logged(census(Path(seen.directory)))]
    if seen.lost:
        said.append(f"{words.counted(seen.lost, 'record')} could not be written to the journal")
    shares = [backend for backend in seen.backends if seen.mode != "offline" or not backend.relayed]
    if len(shares) < len(seen.backends):
        said.append(f"recorded offline; `tracelet sync {seen.run_id}` delivers it")
    return of_run(seen, shares, said)


def of_run(run: "RunOverview | Summary", backends: Iterable[BackendOverview], said: Iterable[str]) -> str:
    """Draw a run, its deliveries, and a line for each thing that is to be said of it."""
    title = f"<b>{_text(run.name)}</b> in {_text(run.project)} {_coloured(run.status, run.status)}"
    place = f"run {run.run_id}, journal in {run.directory}"
    return _card([title, *map(_share, backends), *map(_faint, [*said, place])])


def of_nothing(name: str, why: str) -> str:
    """Draw a handle that records nothing."""
    return _card([f"<b>{_text(name)}</b>", _faint(why)])


def _card(lines: Iterable[str]) -> str:
    return f'<div style="{_FRAME}">{"".join(f"<div>{line}</div>" for line in lines)}</div>'


def _share(backend: BackendOverview) -> str:
    where = ""
    if backend.url.startswith(("http://", "https://")):  # what else a tracker says is no link
        where = f'<a href="{_text(backend.url)}" target="_blank" rel="noopener">{_text(backend.url)}</a>'
    elif backend.url or backend.view:
        where = f"<code>{_text(backend.url or backend.view)}</code>"
    return f"<b>{_text(backend.name)}</b> {_coloured(backend.state, words.delivery(backend))} {where}"


def _coloured(state: str, text: str) -> str:
    colour = _COLOURS.get(state, "")
    return f'<span style="color:{colour}">{_text(text)}</span>' if colour else _text(text)


def _faint(text: str) -> str:
    return f'<small style="opacity:0.7">{_text(text)}</small>'


def _text(text: str) -> str:
    return html.escape(words.clean(text))
