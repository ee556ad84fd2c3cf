"""How a delivery goes: bars on a terminal, a line for each change elsewhere."""

import contextlib
from typing import TYPE_CHECKING

from tracelet.cli import output
from tracelet.cli.delivering import Job
from tracelet.journal import status

if TYPE_CHECKING:
    from rich.progress import TaskID


class Silent:
    """Shows nothing: for `--json`."""

    def begin(self, job: Job) -> None:
        """See `View.begin`."""

    def look(self) -> None:
        """See `View.look`."""

    def end(self) -> None:
        """See `View.end`."""


class Lines:
    """A line when a delivery begins, and one when its state changes for better or worse."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._said: dict[str, tuple[str, str]] = {}

    def begin(self, job: Job) -> None:
        """See `View.begin`."""
        self._job = job
        self._said = {name: _said(job, name) for name in job.left}
        behind = ", ".join(
            f"{output.count(status.lag(job.directory, name), 'record')} to {name}" for name in self._said
        )
        if behind:
            output.say(f"{job.run.run_id}  {job.run.name}: {behind}")

    def look(self) -> None:
        """See `View.look`."""
        if self._job is None:
            return
        for name, before in self._said.items():
            now = _said(self._job, name)
            if now != before:
                self._said[name] = now
                state, error = now
                if state in {"delivering", "unavailable", "refused"}:
                    output.say(f"  {name}: {state}{': ' * bool(error)}{error}")

    def end(self) -> None:
        """See `View.end`."""


class Bars:
    """A bar for each run and backend, on the standard error."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(),
            TaskProgressColumn(),
            # An error's text may be long, and a bar that changes its height flickers.
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True)),
            console=output.console(error=True),
        )
        self._started = contextlib.ExitStack()
        self._job: Job | None = None
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}

    def begin(self, job: Job) -> None:
        """See `View.begin`."""
        if self._job is None:
            self._started.enter_context(self._bars)
        self._job = job
        self._totals = {name: status.backlog(job.directory, name) for name in job.left}
        self._tasks = {
            name: self._bars.add_task(f"{job.run.run_id} {output.clean(name)}", total=None, state="")
            for name in self._totals
        }

    def look(self) -> None:
        """See `View.look`."""
        if self._job is None:
            return
        for name, task in self._tasks.items():
            behind = status.backlog(self._job.directory, name)
            # The keeper may have written the run's end since.
            total = self._totals[name] = max(self._totals[name], behind, 1)
            if status.is_complete(self._job.directory, name):
                behind = 0
            state, error = _said(self._job, name)
            text = output.clean(f"{state}: {error}" if error else state)
            self._bars.update(task, total=total, completed=total - behind, state=text)

    def end(self) -> None:
        """See `View.end`."""
        self._started.close()


def _said(job: Job, name: str) -> tuple[str, str]:
    said = status.read_delivery(job.directory, name)
    return said.state if said.pid else "waiting", said.error
