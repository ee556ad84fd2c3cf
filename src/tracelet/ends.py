"""What an exception that nobody caught makes of a run."""

from tracelet.events import Status


def how_it_ends(kind: type[BaseException], error: BaseException | None) -> tuple[Status, str]:
    """Tell what an exception that nobody caught makes of a run, and the reason."""
    if issubclass(kind, SystemExit):
        code = getattr(error, "code", None)
        if code is None or (isinstance(code, int) and code == 0):  # of all else Python makes another code
            return "FINISHED", ""
        # Who catches Ctrl-C, tidies up and leaves with an exit code has been stopped all the same.
        by_hand = isinstance(getattr(error, "__context__", None), KeyboardInterrupt)
        return ("KILLED" if by_hand else "FAILED"), f"sys.exit({code!r})"
    try:
        reason = f"{kind.__name__}: {error}"
    except Exception:  # noqa: BLE001  the user's own __str__
        reason = kind.__name__
    return ("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"), reason
