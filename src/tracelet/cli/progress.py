"""How a delivery goes: bars on a terminal, a line for each change elsewhere."""

import contextlib
from typing import TYPE_CHECKING, Final

from tracelet.cli import output
from tracelet.cli.delivering import Job
from tracelet.journal import status
from tracelet.journal.status import DeliveryStatus
from tracelet.telling.words import span

if TYPE_CHECKING:
    from rich.progress import TaskID

NOTHING: Final = ("waiting", "")  # what a delivery has said that nobody has begun


class Silent:
    """Shows nothing: for `--json`."""

    def begin(self, job: Job) -> None:
        """See `View.begin`."""

    def look(self) -> None:
        """See `View.look`."""

    def end(self) -> None:
        """See `View.end`."""


class Lines:
    """A line when a delivery begins, and one when its state changes for better or worse.

    Args:
        patience: Seconds for which a tracker that is away is tried again.
        whole: Whether errors are said whole, however long.
    """

    def __init__(self, patience: float, *, whole: bool = False) -> None:
        self._patience = patience
        self._whole = whole
        self._job: Job | None = None
        self._before: dict[str, DeliveryStatus] = {}
        self._said: dict[str, tuple[str, str]] = {}

    def begin(self, job: Job) -> None:
        """See `View.begin`."""
        self._job = job
        self._before = {name: status.read_delivery(job.directory, name) for name in job.left}
        self._said = dict.fromkeys(self._before, NOTHING)
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
            now = _said(self._job, name, self._before[name])
            if now != before:
                self._said[name] = now
                state, error = now
                if state in {"delivering", "unavailable", "refused"}:
                    again = f", tried again for {span(self._patience)}" if state == "unavailable" else ""
                    why = f": {output.brief(error, whole=self._whole)}" if error else ""
                    output.say(f"  {name}: {state}{again}{why}")

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
        self._before: dict[str, DeliveryStatus] = {}
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}

    def begin(self, job: Job) -> None:
        """See `View.begin`."""
        if self._job is None:
            self._started.enter_context(self._bars)
        self._job = job
        self._totals = {name: status.backlog(job.directory, name) for name in job.left}
        self._before = {name: status.read_delivery(job.directory, name) for name in job.left}
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
            state, error = _said(self._job, name, self._before[name])
            text = output.clean(f"{state}: {error}" if error else state)
            self._bars.update(task, total=total, completed=total - behind, state=text)

    def end(self) -> None:
        """See `View.end`."""
        self._started.close()


def _said(job: Job, name: str, before: DeliveryStatus) -> tuple[str, str]:
    """Say what a delivery does now, and why it fails; what an earlier attempt had left there is no news."""
    said = status.read_delivery(job.directory, name)
    if said == before or not said.pid:
        return NOTHING
    return said.state, said.error if said.state in {"unavailable", "refused"} else ""
