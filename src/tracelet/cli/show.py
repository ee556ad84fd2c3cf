"""`tracelet show`: everything that one run recorded, in brief."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tracelet.cli import completing, digest, output, plot
from tracelet.cli.figures import fits, fitting
from tracelet.cli.page import Page
from tracelet.cli.plot import Series
from tracelet.cli.runs import Json, Place, Run
from tracelet.cli.sources import From, Origin, opened
from tracelet.errors import ConfigError
from tracelet.journal import status as files


def show(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="An id, its beginning or end, or a name.", autocompletion=completing.runs
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", metavar="NAME", help="Only these metrics; 'val/*' names several."),
    ] = None,
    plots: Annotated[
        list[str] | None,
        typer.Option("--plot", metavar="NAME", help="Draw this metric; 'val/*' draws several."),
    ] = None,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--linear", help="Draw values by their logarithm, or not; by default as fits them."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="NAME", help="Print the last text of this name and nothing else."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Show every row, and values in full, on a terminal too.")
    ] = False,
    rejects: Annotated[
        bool, typer.Option("--rejects", help="Show every reject, and not only the first.")
    ] = False,
    as_json: Json = False,
    source: From = "",
    place: Place = None,
) -> None:
    """Show what a run recorded, and draw its metrics."""
    if as_json and (plots or text is not None):
        raise ConfigError("--json prints one document; --plot and --text do not go with it")
    if rejects and source:
        raise ConfigError("--rejects speaks of what was delivered from here; it does not go with --from")
    sketch = plot.SKETCH if output.console().is_terminal and not as_json else 0
    with opened(place, source, [wanted]) as (origin,):
        gathering = digest.Gathering(lambda name: plot.DETAIL if fits(name, plots or ()) else sketch)
        found = gathering.take(origin.events(gathering.damaged)).digest
    drawn = fitting(plots or (), found.metrics, "metric")
    if metrics:
        found.metrics = fitting(metrics, found.metrics, "metric")
        of_these = filter(None, map(found.definition, found.metrics))
        found.definitions = {definition.name: definition for definition in of_these}
    if as_json:
        output.document(_document(origin, found, source))
    elif text is not None:
        print(_last_text(found, text))
    else:
        page = Page(gathering, found, brief=output.console().is_terminal and not everything)
        page.head(origin, source)
        page.recorded()
        for name in drawn:
            plot.show(name, [Series(name, gathering.course(name))], log=log)
        page.attached()
        if origin.run is not None:
            page.deliveries(origin.run)
            page.rejects(_refused(origin.run), every=rejects)
        page.end()


def _document(origin: Origin, found: digest.Digest, source: str) -> dict[str, Any]:
    content = digest.plain(found)
    started = origin.started if found.started is None else found.started
    if origin.run is None:
        named = {"run_id": origin.id, "name": origin.name, "project": origin.project, "source": source}
        return named | content | {"started": started, "status": found.status or origin.status}
    run_file = files.read_run(Path(origin.run.directory))
    return {
        **msgspec.to_builtins(origin.run),
        "host": run_file.host,
        "pid": run_file.trainer.pid,
        "working_directory": run_file.directory,
        **content,
        "started": started,
        "status": origin.run.status,
        "rejects": msgspec.to_builtins(_refused(origin.run)),
    }


def _last_text(found: digest.Digest, name: str) -> str:
    """Find a text; a terminal must not obey what stands in it."""
    text, *others = fitting([name], found.texts, "text").values()
    if others:
        raise ConfigError(f"{1 + len(others)} texts fit {name!r}, and --text prints one; give its whole name")
    if not sys.stdout.isatty():
        return text.last
    return "\n".join(output.clean(line.expandtabs()) for line in text.last.splitlines())


def _refused(run: Run) -> dict[str, list[files.Reject]]:
    return {backend.name: files.rejects(Path(run.directory), backend.name) for backend in run.backends}
