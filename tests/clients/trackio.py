"""What Trackio has: WHERE is the directory of its databases."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.clients import Picture, Point, Run, digest, main, pixels


def read(where: str, project: str) -> list[Run]:
    """Ask Trackio's own storage."""
    os.environ["TRACKIO_DIR"] = where  # it looks when it is imported
    os.environ["HF_HUB_OFFLINE"] = "1"
    from trackio.sqlite_storage import SQLiteStorage

    records = SQLiteStorage.get_run_records(project)
    return [_run(SQLiteStorage, project, str(record["name"]), str(record["id"])) for record in records]


def _run(storage: Any, project: str, name: str, run_id: str) -> Run:
    config = storage.get_run_config(project, name, run_id=run_id)
    own = config.get("tracelet", {})
    made = Run(
        uid=run_id,
        name=name,
        status=own.get("status", ""),
        params={key: value for key, value in config.items() if key != "tracelet" and key[0] != "_"},
        tags=own.get("tags", {}),
    )
    for row in storage.get_logs(project, name, run_id=run_id):
        step, time = row.pop("step"), datetime.fromisoformat(row.pop("timestamp")).timestamp()
        for key, value in row.items():
            if isinstance(value, dict):
                made.images += _pictures(key, step, value)
            else:
                made.points.append(Point(key, step, value, time))
    _artifacts(storage, project, made, run_id)
    return made


def _pictures(name: str, step: int, value: dict[str, Any]) -> list[Picture]:
    import PIL.Image
    from trackio.utils import MEDIA_DIR

    if value["_type"] != "trackio.image":
        return []
    with PIL.Image.open(Path(MEDIA_DIR, value["file_path"])) as picture:
        return [Picture(name, step, pixels(picture))]


def _artifacts(storage: Any, project: str, made: Run, run_id: str) -> None:
    from trackio import cas

    for version in storage.get_run_artifacts(project, made.name, run_id)["output"]:
        manifest = storage.get_artifact_manifest(project, version["name"], f"v{version['version']}")
        for file in manifest["manifest"]:
            made.artifacts[file["path"]] = digest(cas.blob_path(project, file["digest"]).read_bytes())


if __name__ == "__main__":
    main(read)
