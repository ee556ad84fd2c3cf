"""The artifacts that a run of W&B's has put out, as bundles; and what lists their files."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from tracelet.backends.wandb.found import Logged
from tracelet.events import Bundle, Payload

LISTS: Final = "lists//"
"""What the path of a payload begins with that lists the files of an artifact; no other has two slashes."""


def bundle_of(artifact: Logged) -> Bundle:
    """Return somebody else's artifact as a bundle. What lies elsewhere stands in its metadata."""
    metadata = dict(artifact.metadata)
    alone = not artifact.files and len(artifact.references) == 1
    if artifact.references and not alone:
        metadata["references"] = dict(artifact.references)
    return Bundle(
        time=artifact.time,
        name=artifact.name,
        kind=artifact.kind,
        path="" if alone else artifact.path,
        files=len(artifact.files),
        data=None if alone else data_of(artifact, f"{artifact.path}/"),
        reference=next(iter(artifact.references.values())) if alone else "",
        aliases=artifact.aliases,
        metadata=metadata,
    )


def data_of(artifact: Logged, before: str = "") -> Payload:
    """Return the payload that lists the files of an artifact.

    Args:
        artifact: The artifact.
        before: What their paths among the run's artifacts begin with; in ours they have whole paths.
    """
    content = json.dumps(listed(artifact, before), ensure_ascii=False).encode()
    return Payload("", len(content), format="json", path=f"{LISTS}{quote(artifact.path, safe='')}.json")


def listed(artifact: Logged, before: str = "") -> Mapping[str, Any]:
    """List the files of an artifact, by their paths among the run's artifacts."""
    return {f"{before}{path}": {"digest": "", "size": size} for path, size in artifact.files.items()}


def of_list(path: str, artifacts: Iterable[Logged]) -> Logged | None:
    """Find the artifact whose files a payload's path lists."""
    wanted = unquote(path.removeprefix(LISTS).removesuffix(".json"))
    return next((one for one in artifacts if one.path == wanted), None)
