"""Where a value came from, for an error of a backend's that only knows the value."""

import contextlib
import os
from collections.abc import Generator, Iterator

from tracelet.errors import ConfigError, MissingDependency
from tracelet.scrub import without_userinfo
from tracelet.settings.table import Resolved


@contextlib.contextmanager
def places_told(resolved: Resolved, backend: str = "", variables: str = "") -> Generator[None]:
    """Let an error about a value say where that came from: "'x' (from WANDB_BASE_URL) is no address".

    A backend sees what holds, whoever said it. So the value that the error shows, between quotes as
    Python writes it, is looked for among all that speaks to the backend; of several, the one that it
    shows first. What is found nowhere, such as in a file of the tracker's own, is left as it is.

    Args:
        resolved: The settings that hold.
        backend: The backend's name; empty while it is not known whether there is one of that name.
        variables: What the tracker's own variables begin with.

    Raises:
        ConfigError: The same, with the place.
    """
    try:
        yield
    except ConfigError as error:
        message = str(error)
        found = [
            (message.find(written), written, place)
            for value, place in _said(resolved, backend, variables, message)
            for written in _shown(value)
            if written in message
        ]
        if not found:
            raise
        _, written, place = min(found, key=lambda one: one[0])
        kind = MissingDependency if isinstance(error, MissingDependency) else ConfigError
        raise kind(message.replace(written, f"{written} (from {place})", 1)) from None


def _said(resolved: Resolved, backend: str, variables: str, message: str) -> Iterator[tuple[str, str]]:
    """List the values that may be meant, each with its place, the strongest first."""
    sources = resolved.sources
    named = sources.get("backend", "")
    if not backend and named and not named.startswith("start_logging"):  # there everybody sees it
        yield from ((name, named) for name in resolved.backend)
    for name in sources:
        value = getattr(resolved, name)
        if isinstance(value, str) and (name == "backend_url" or (backend and name.startswith(f"{backend}_"))):
            yield value, sources[name]
    for name, value in {**resolved.dotenv, **os.environ}.items():
        if variables and name.startswith(variables):
            place = "the environment" if name in os.environ else ".env"
            yield value, place if f"{name}=" in message else f"{name} in {place}"


def _shown(value: str) -> set[str]:
    """Write a value in the ways in which an error may show it."""
    forms = {value, value.strip(), value.strip().rstrip("/")}
    return {repr(form) for one in forms if one for form in (one, without_userinfo(one))}
