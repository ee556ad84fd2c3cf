"""What W&B has: WHERE is its server's address; the key is in the environment. PROJECT may have an entity."""

import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.clients import Picture, Point, Run, digest, main, pixels

STEP: Final = "tracelet/step"
FILES: Final = "artifacts/"  # the files of a run that were logged as artifacts


def read(where: str, project: str) -> list[Run]:
    """Ask `wandb.Api`, for the whole history and no sample."""
    import wandb

    api = wandb.Api(overrides={"base_url": where}, timeout=60)
    path = project if "/" in project else f"{api.default_entity}/{project}"
    try:
        found = list(api.runs(path, order="+created_at", include_sweeps=False))
    except ValueError as error:
        if "Could not find project" in str(error):
            return []
        raise
    return [_run(run) for run in found]


def _run(run: Any) -> Run:
    own = run.config.get("tracelet", {})
    made = Run(
        uid=run.id,
        name=run.name,
        status=_status(run.state, own.get("status", "")),
        params=dict(_flat({name: value for name, value in run.config.items() if name != "tracelet"})),
        tags=own.get("tags", {}),
    )
    files = {file.name: file for file in run.files()}
    stepless: Counter[str] = Counter()
    rows = list(run.scan_history())
    assert len(rows) == run.historyLineCount, f"{run.historyLineCount} lines, {len(rows)} rows"
    for row in rows:
        for name, value in row.items():
            if name.startswith("_") or name == STEP or value is None:
                continue
            step = row.get(STEP)
            if step is None:
                step, stepless[name] = stepless[name], stepless[name] + 1
            if isinstance(value, (int, float)):
                made.points.append(Point(name, int(step), float(value), row["_timestamp"]))
            elif isinstance(value, dict) and value["_type"] == "image-file":
                made.images += _picture(files[value["path"]], name, int(step))
    for path, file in files.items():
        if path.startswith(FILES):
            made.artifacts[path.removeprefix(FILES)] = digest(_content(file))
    return made


def _status(state: str, said: str) -> str:
    """Tell the status: W&B knows two ends, and our account which of the bad ones it was."""
    if state not in {"finished", "failed"}:
        return state
    return said if (state == "finished") == (said == "FINISHED") else f"{said}, but {state}"


def _flat(nested: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _picture(file: Any, name: str, step: int) -> Iterator[Picture]:
    import PIL.Image

    with PIL.Image.open(io.BytesIO(_content(file))) as picture:
        yield Picture(name, step, pixels(picture))


def _content(file: Any) -> bytes:
    with tempfile.TemporaryDirectory() as place, file.download(root=place, replace=True):
        return Path(place, file.name).read_bytes()


if __name__ == "__main__":
    main(read)
