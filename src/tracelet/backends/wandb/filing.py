"""Files of a run's, and artifacts of W&B's: what is kept as it is.

An artifact of ours is a file of the run, below `artifacts/`. A bundle is an artifact of W&B's, of the
type that its kind is, with the same files once more; W&B keeps each content once.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tracelet.backend import BlobPath, bytes_of, file_of
from tracelet.backends.wandb.held import held
from tracelet.backends.wandb.session import Session
from tracelet.backends.wandb.words import FILES, OURS, shown, text_of
from tracelet.errors import Rejected
from tracelet.events import Artifact, Bundle

NAME: Final = 128  # characters of an artifact's name
_BLOCK: Final = 1 << 20  # bytes
_UNNAMED: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_UNKIND: Final = re.compile(r"[/:\x00-\x1f]+")
_KEPT: Final = re.compile(r"(?:job|run_table|code|wandb-.*)\Z")  # types that W&B keeps for itself
_ALIAS: Final = re.compile(r"(?!v\d+\Z|latest\Z)[^/:]+\Z")


class Kept(msgspec.Struct, frozen=True):
    """A file that the client has been given: what the server must show of it; `md5` in hex."""

    size: int
    md5: str


class Filing:
    """Gives the client files.

    Args:
        blob: Finds their bytes.
        links: Whether they are still there when the client sends them; else they are copied.
    """

    def __init__(self, blob: BlobPath, *, links: bool) -> None:
        self._blob = blob
        self._links = links
        self._known: dict[str, Path] = {}

    def artifact(self, session: Session, event: Artifact) -> dict[str, Kept]:
        """Keep one file of the run; return it by its path."""
        source = self.source(event)
        path = f"{FILES}{event.path}"
        self.place(session, path, source)
        self._known[event.path] = source
        return {path: kept(source)}

    def place(self, session: Session, path: str, source: Path) -> None:
        """Put a file among those of the run, and have it sent."""
        to = session.directory / path
        if ".." in Path(path).parts:
            raise Rejected(f"{path!r} leads out of the run")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.unlink(missing_ok=True)
        if self._links:
            to.symlink_to(source)
        else:
            try:
                os.link(source, to)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, to)
        session.run.save(str(to), base_path=str(session.directory), policy="now", glob=False)

    def bundle(self, session: Session, event: Bundle, server: Any) -> Any:
        """Have an artifact of W&B's made; return it, to be waited for.

        Args:
            session: Where it goes.
            event: What it is.
            server: The run as W&B's public interface has it; None where there is no server.
        """
        import wandb

        client: Any = wandb
        words = text_of(msgspec.to_builtins(msgspec.structs.replace(_held(event), data=None)))
        metadata: dict[str, Any] = {**shown(event.metadata), OURS: words}
        made = client.Artifact(_name(event.name), _kind(event.kind), metadata=metadata)
        if event.data is None:
            made.add_reference(event.reference, name=_reference(event), checksum=False)
        else:
            self._fill(made, event, session, server)
        aliases = [alias for alias in event.aliases if _ALIAS.match(alias)]
        return session.run.log_artifact(made, aliases=["latest", *aliases])

    def bytes_of(self, what: str, digest: str) -> Path:
        """Return where the bytes of a payload are."""
        return bytes_of(what, digest, self._blob)

    def source(self, event: Artifact) -> Path:
        """Return where the bytes of an artifact are."""
        return file_of(event, self._blob)

    def _fill(self, made: Any, event: Bundle, session: Session, server: Any) -> None:
        assert event.data is not None  # noqa: S101  the caller has looked
        what = f"the list of the files of {event.name!r}"
        listed: Any = json.loads(self.bytes_of(what, event.data.digest).read_bytes())
        if not isinstance(listed, dict):
            raise Rejected(f"{what} is no list")
        found = cast("dict[str, dict[str, Any]]", listed)
        missing: list[str] = []
        for path, said in found.items():
            source = self._found(path, str(said.get("digest", "")), session, server)
            if source is not None:
                # Offline it is sent much later: the journal may have let go of its blobs by then, and
                # another file may be at its path. So the client copies it.
                policy = "immutable" if self._links else "mutable"
                made.add_file(str(source), name=path, policy=policy, skip_cache=True)
            else:
                missing.append(path)
        if missing and len(missing) == len(found):
            raise Rejected(f"{event.kind or 'bundle'} {event.name!r}: none of its files is there any more")

    def _found(self, path: str, digest: str, session: Session, server: Any) -> Path | None:
        """Find a file of a bundle: its blob, where it was left, or the run's own that was sent before."""
        own = session.directory / FILES / path
        known = self._blob(digest) if digest else self._known.get(path)
        for place in (known, own):
            if place is not None and place.is_file():
                return place
        if server is None:
            return None
        to = session.directory.parent / "tmp" / "back"
        for found in server.files(names=[f"{FILES}{path}"]):
            if int(found.size):
                found.download(root=str(to), replace=True).close()
                return to / FILES / path
        return None


def kept(source: Path) -> Kept:
    """Return what the server must show of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with source.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return Kept(source.stat().st_size, digest.hexdigest())


def _held(event: Bundle) -> Bundle:
    found = held(event)
    assert isinstance(found, Bundle)  # noqa: S101  `held` says so
    return found


def _name(name: str) -> str:
    """Return W&B's name for a bundle; one that has to be changed bears a digest, and is no other's."""
    found = _UNNAMED.sub("-", name).strip("-.")[:NAME]
    if found == name:
        return found
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{found[: NAME - 9]}-{digest}" if found else f"bundle-{digest}"


def _kind(kind: str) -> str:
    found = _UNKIND.sub("-", kind)[:NAME] or "bundle"
    return f"{found}-" if _KEPT.match(found) else found


def _reference(event: Bundle) -> str:
    return event.path or event.reference.rstrip("/").rpartition("/")[2] or event.name
