"""The command line: one file per command, and the only place that prints.

Exit codes of every command: 0 fine; 1 something needs attention, or could not be done; 2 the
command was not understood: a wrong option, or a name of nothing. A stop by Ctrl-C gives 130.
What is asked for goes to the standard output, everything else to the standard error.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import tracelet
from tracelet.cli import compare, config, doctor, export, gc, init, ls, rm, show, status, sync
from tracelet.cli.sources import Readable
from tracelet.errors import ConfigError, TraceletError

# Without rich's boxes: what is printed on an error is to be read, copied and searched for.
app = typer.Typer(
    name="tracelet",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ls", cls=Readable)(ls.ls)
app.command("status")(status.status)
app.command("sync")(sync.sync)
app.command("show", cls=Readable)(show.show)
app.command("compare", cls=Readable)(compare.compare)
app.command("export", cls=Readable)(export.export)
app.command("doctor")(doctor.doctor)
app.command("rm")(rm.rm)
app.command("gc")(gc.gc)
app.command("config")(config.config)
app.command("init")(init.init)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tracelet {tracelet.__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 fine; 1 something needs attention, or could not be done; 2 not understood;"
    " 130 stopped by Ctrl-C."
)
def _about(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Look at the runs that tracelet recorded, and deliver what trackers do not have yet."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; `arguments` are those of the process if not given."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding does not have is no reason to fail.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        app(list(sys.argv[1:] if arguments is None else arguments), prog_name="tracelet")
    except TraceletError as error:
        print(f"tracelet: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    sys.exit(0)
