"""`tracelet doctor`: what is installed, writable and reachable, and what to do about what is not.

It changes nothing: what it tries, it tries with files that it deletes again. It waits for nothing
longer than `--timeout`: each part has a thread of its own that is left behind where a file system
or a server hangs. It shows no value that could be a secret.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from tracelet.cli import output
from tracelet.cli.findings import Finding
from tracelet.cli.installation import installed, of_processes, of_settings
from tracelet.cli.premises import of_runs, of_shelf
from tracelet.cli.reaching import of_backends
from tracelet.cli.runs import Json, Place, seconds, shelf_at
from tracelet.errors import ConfigError, TraceletError

TIMEOUT: Final = 30.0  # seconds; a tracker's client takes some of them to be imported
MARGIN: Final = 1.0  # seconds to stop what hangs, before all has to end
_WORDS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}
_SLOW: Final = "try again with a longer --timeout; if it stays so, this is where tracelet would wait, too"


def doctor(
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            parser=seconds,
            show_default="30s",
            help="How long all of it may take.",
        ),
    ] = TIMEOUT,
    as_json: Json = False,
    place: Place = None,
) -> None:
    """Check what tracelet needs here, and say what to do. Exits with 1 if there is a problem."""
    until = time.monotonic() + timeout
    premises = _Part("shelf", lambda: of_shelf(_shelf(place), named=place is not None))
    parts = [
        _Part("installed", installed),
        _Part("settings", of_settings),
        premises,
        _Part("runs", lambda: _of_runs(place)),
        _Part("processes", lambda: of_processes(until - MARGIN)),
        _Part("backends", lambda: of_backends(until - MARGIN)),
    ]
    for part in parts:
        part.start()
    if place is not None:
        premises.wait(until)
        if premises.mistake is not None:
            raise premises.mistake
    found: list[Finding] = []
    for part in parts:
        of_part = part.wait(until)
        found += of_part
        if not as_json:
            _show(part.name, of_part)
    problems = sum(finding.level == "problem" for finding in found)
    warnings = sum(finding.level == "warning" for finding in found)
    if as_json:
        output.document(
            {
                "fine": not problems,
                "problems": problems,
                "warnings": warnings,
                "findings": msgspec.to_builtins(found),
            }
        )
    else:
        said = f"{output.count(problems, 'problem')}, {output.count(warnings, 'warning')}"
        output.say("")
        output.say(said, "red" if problems else "yellow" if warnings else "green")
    raise typer.Exit(1 if problems else 0)


def _shelf(place: Path | None) -> Path:
    return shelf_at(place).absolute()


def _of_runs(place: Path | None) -> Iterable[Finding]:
    try:
        where = _shelf(place)
    except TraceletError:
        return ()  # the shelf's own part says so
    return of_runs(where)


class _Part:
    """One part of the examination, in a thread that nobody has to wait for: Python ends without it."""

    def __init__(self, name: str, find: Callable[[], Iterable[Finding]]) -> None:
        self.name = name
        self._find = find
        self._found: list[Finding] = []
        self.mistake: ConfigError | None = None
        self._thread = threading.Thread(target=self._run, name=f"doctor-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, until: float) -> list[Finding]:
        """Give what was found, in time or so far."""
        self._thread.join(max(0.0, until - time.monotonic()))
        found = list(self._found)
        if self._thread.is_alive():
            found.append(Finding("problem", "this did not end in time", _SLOW))
        return [msgspec.structs.replace(finding, part=self.name) for finding in found]

    def _run(self) -> None:
        try:
            for finding in self._find():
                self._found.append(finding)
        except TraceletError as error:
            self.mistake = error if isinstance(error, ConfigError) else None
            self._found.append(Finding("problem", str(error)))
        except Exception as error:  # noqa: BLE001  whatever is broken here is what was asked for
            self._found.append(Finding("problem", f"{type(error).__name__}: {error}"))


def _show(name: str, found: list[Finding]) -> None:
    output.say(name, "bold")
    out = output.console()
    for finding in found:
        line = output.line(f"  {finding.level:<8} ", _WORDS[finding.level])
        out.print(line.append_text(output.line(finding.what)))
        if finding.do:
            out.print(output.line(f"           {finding.do}"))
