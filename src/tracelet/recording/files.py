"""Files: artifacts, models, references, and bundles of files that are one thing."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracelet import guard

if TYPE_CHECKING:
    from io import BytesIO

    from tracelet.intake import Intake


class Files:
    """What is a file, or several."""

    __slots__ = ()

    _intake: "Intake"

    @guard.contained
    def log_artifact(
        self,
        path: "str | os.PathLike[str] | bytes | bytearray | memoryview | BytesIO",
        artifact_path: str | os.PathLike[str] | None = None,
        *,
        copy: bool = True,
        type: str | None = None,  # noqa: A002  as W&B calls it
        name: str | None = None,
        aliases: str | Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Log a file, or all files below a directory, as they are at this moment; or bytes.

        With a type, a name, aliases or metadata they are, besides, one thing that has these.

        Args:
            path: The file or directory; or a file's bytes.
            artifact_path: The directory among the run's artifacts that it goes to. A directory's
                contents go right into it; without it, into one of the directory's own name. Of bytes,
                the path of the file that they are.
            copy: False for files too large to copy: only their place, size and time are kept, and
                a file that has changed when it is delivered is rejected.
            type: What it is: "model", "dataset", "checkpoint", or any other word.
            name: What it is called; by default as the file or directory is.
            aliases: Words for this version of it, such as "best" or "last".
            metadata: What else is known of it.
            step: The x axis, a whole number.
        """
        from tracelet.intake import files

        naming = files.Naming(type, name, aliases, metadata, step)
        files.artifact(self._intake, path, artifact_path, naming, copy=copy)

    @guard.contained
    def log_reference(
        self,
        uri: str | os.PathLike[str],
        *,
        name: str | None = None,
        type: str | None = None,  # noqa: A002  as in `log_artifact`
        aliases: str | Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Log where something lies that is not copied, such as a dataset; credentials are left out.

        Args:
            uri: The URI, or a path.
            name: What it is called; by default as the last part of the URI.
            type: See `log_artifact`.
            aliases: See `log_artifact`.
            metadata: See `log_artifact`.
            step: See `log_artifact`.
        """
        from tracelet.intake import files

        files.reference(self._intake, uri, files.Naming(type, name, aliases, metadata, step))

    @guard.contained
    def log_model(
        self,
        name: str,
        model: Any,
        iteration: int | None = None,
        *,
        step: int | None = None,
        aliases: str | Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a model, to `models/<name>` among the run's artifacts, or `models/<name>/step-<step>`.

        Args:
            name: Any text that is not empty.
            model: A module of torch, of which the state dict is saved as `model.pt`; a state dict, or
                a checkpoint that holds one; or the path of a file or directory, kept as it is.
            iteration: As in `log_metric`.
            step: The same as `iteration`.
            aliases: Words for this version of it, such as "best" or "last".
            metadata: What else is known of it.
        """
        from tracelet.intake import files

        at = step if iteration is None else iteration
        files.model(self._intake, name, model, at, files.Naming(aliases=aliases, metadata=metadata))

    @guard.contained
    def bundle(
        self,
        name: object,
        files: Mapping[str, object],
        kind: str,
        step: object,
        time: float | None = None,
        *,
        path: str,
        metadata: Mapping[str, Any] | None = None,
        aliases: str | Sequence[str] = (),
    ) -> None:
        """Record files that are one thing: what captures call.

        Args:
            name: What it is called.
            files: Bytes, a text, an array, which becomes a `.npy`, or the path of a file or directory,
                by the path that each has below `path`.
            kind: See `tracelet.events.Bundle`.
            step: The x axis, a whole number.
            time: Seconds since the epoch; None for now.
            path: The directory among the run's artifacts.
            metadata: See `log_artifact`.
            aliases: See `log_artifact`.
        """
        from tracelet.intake import files as taking

        naming = taking.Naming(kind, name, aliases, metadata, step)
        taking.bundle(self._intake, files, naming, time, path=path)
