"""What TensorBoard shows: WHERE is the directory that `--logdir` names. Its values are float32."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.clients import Picture, Point, Run, digest, main, pixels

SUCCESS: Final = 1  # STATUS_SUCCESS of its hparams page


def read(where: str, project: str) -> list[Run]:
    """Ask `EventAccumulator`, for everything and no sample."""
    directories = sorted(file.parent for file in Path(where, project).glob("*/tracelet.json"))
    return sorted((_run(directory) for directory in directories), key=lambda run: run.uid)


def _run(directory: Path) -> Run:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Any = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    found.Reload()
    said = json.loads(Path(directory, "tracelet.json").read_bytes())
    made = Run(
        uid=said["run_id"],
        name=directory.name,
        status=_status(found, said["status"]),
        params=_params(found),
        tags=_tags(found, said.get("tags", {})),
    )
    for name in found.Tags()["scalars"]:
        for event in found.Scalars(name):
            made.points.append(Point(name, event.step, event.value, event.wall_time))
    root = directory / "artifacts"
    for file in root.rglob("*"):
        if file.is_file():
            made.artifacts[file.relative_to(root).as_posix()] = digest(file.read_bytes())
    made.images += _pictures(found)
    return made


def _session(found: Any, tag: str) -> Any:
    from tensorboard.plugins.hparams import metadata

    content = found.PluginTagToContent("hparams") if "hparams" in _plugins(found) else {}
    return content.get(getattr(metadata, tag))


def _plugins(found: Any) -> set[str]:
    return set(found._plugin_to_tag_to_content)


def _status(found: Any, said: str) -> str:
    """Tell the status: the hparams page knows two ends, and our file which of the bad ones it was."""
    from tensorboard.plugins.hparams import metadata

    content = _session(found, "SESSION_END_INFO_TAG")
    if content is None:
        return "RUNNING"
    ended = metadata.parse_session_end_info_plugin_data(content)
    good = ended.status == SUCCESS
    return said if good == (said == "FINISHED") else f"{said}, but {ended.status} on the page"


def _params(found: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata

    content = _session(found, "SESSION_START_INFO_TAG")
    if content is None:
        return {}
    params = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in params.items()}


def _tags(found: Any, said: dict[str, str]) -> dict[str, str]:
    """Return the tags of our file, having seen that its page shows them; it shows the first ones only."""
    if "tracelet/tags" not in found.Tags()["tensors"]:
        return {}
    (event,) = found.Tensors("tracelet/tags")
    rows = event.tensor_proto.string_val[0].decode().splitlines()[2:]
    shown = [row.strip("| ").split(" | ") for row in rows if row.startswith("|")]
    wrong = {name: text for name, text in shown if said.get(name) != text}
    return wrong or said


def _pictures(found: Any) -> Iterator[Picture]:
    import PIL.Image

    for name in found.Tags()["images"]:
        for event in found.Images(name):
            with PIL.Image.open(io.BytesIO(event.encoded_image_string)) as picture:
                yield Picture(name, event.step, pixels(picture))


if __name__ == "__main__":
    main(read)
