"""What a run says besides its series: params, tags, note, status. It is written anew when it changes.

`tracelet.json` has it exactly. An event file of its own shows it: the hparams of the run's one session,
and two texts. TensorBoard reads event files in the order of their names, and keeps what it first reads
of a session. So this one comes first, is small, and is replaced; what changes while TensorBoard runs is
shown once it is started again.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.backends.tensorboard import summaries
from tracelet.backends.tensorboard.frames import VERSION, framed, module, protos
from tracelet.backends.tensorboard.held import worded, written
from tracelet.backends.tensorboard.places import SAID, replace
from tracelet.events import Definition, Event, Note, Params, RunFinished, RunStarted, Tags, Text

SHOWN: Final = "events.out.tfevents.0000000000.tracelet"
"""The event file that shows it."""
OWNERS: Final = "series"
"""What `tracelet.json` calls the tags of series, each with its plugin and name."""
NEW: Final = "new"
"""What `tracelet.json` says while nothing of the run is written, or what was written is gone."""
_LONGEST: Final = 1000  # characters of a param's text there


def begun(run: RunStarted) -> dict[str, Any]:
    """Say what is known of a run that begins."""
    said = msgspec.to_builtins(run)
    del said["type"]
    return {"project": "", **said, "status": "RUNNING", NEW: True}


class Said:
    """What one run says.

    Args:
        directory: The run's; its `tracelet.json` is there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._said: dict[str, Any] = json.loads((directory / SAID).read_bytes())
        self._owners: dict[str, list[str]] = self._said.setdefault(OWNERS, {})
        self._saved = len(self._owners)
        self._show()  # whoever was here before may have died before it did

    @property
    def is_new(self) -> bool:
        """Whether nothing of the run is written, as far as anybody knows."""
        return bool(self._said.get(NEW, False))

    def begin_again(self) -> None:
        """Note that what was written is gone, so that whoever opens the run next knows it too."""
        if not self.is_new:
            self._said[NEW] = True
            self._save()

    def written(self) -> None:
        """Note that something is written."""
        if self._said.pop(NEW, False):
            self._save()

    def take(self, batch: Iterable[Event]) -> None:
        """Take what events say, and write it if there is anything."""
        if sum(map(self._takes, batch)):
            self._save()
            self._show()

    def tag_of(self, name: str, plugin: str) -> str:
        """Choose the tag of a series, of which TensorBoard can have only one plugin's."""
        tag, owner = name, [plugin, name]
        while self._owners.setdefault(tag, owner) != owner:
            tag = f"{tag} ({plugin})"
        return tag

    def save_tags(self) -> None:
        """Write down the tags that were chosen, before anything of them is written."""
        if len(self._owners) != self._saved:
            self._save()

    def _takes(self, event: Event) -> bool:
        said = self._said
        if isinstance(event, Params):
            values = {name: written(value) for name, value in event.params.items()}
            said.setdefault("params", {}).update(values)
        elif isinstance(event, Tags):
            said.setdefault("tags", {}).update(event.tags)
        elif isinstance(event, Note):
            said["note"] = event.text
        elif isinstance(event, Definition):
            said.setdefault("definitions", {})[event.name] = msgspec.to_builtins(event)
        elif isinstance(event, RunFinished):
            said |= {"status": event.status, "ended": event.time, "reason": event.reason}
        else:
            return False
        return True

    def _save(self) -> None:
        replace(self._directory / SAID, json.dumps(self._said, ensure_ascii=False, indent=1).encode())
        self._saved = len(self._owners)

    def _show(self) -> None:
        time = float(self._said["time"])
        made = protos().Event(wall_time=time, file_version=VERSION)
        content = [framed(made.SerializeToString())]
        nothing = Text(time=time, name="", text="")  # whose time and step they have
        content += [framed(summaries.record_of(nothing, [value])) for value in self._values(time)]
        replace(self._directory / SHOWN, b"".join(content))

    def _values(self, time: float) -> Iterable[Any]:
        metadata = module("tensorboard.plugins.hparams.metadata")
        plugin_data_pb2 = module("tensorboard.plugins.hparams.plugin_data_pb2")
        if params := self._said.get("params"):
            data: Any = plugin_data_pb2.HParamsPluginData()
            data.session_start_info.start_time_secs = time
            data.session_start_info.group_name = str(self._said["run_id"])
            for name, value in params.items():
                _fill(data.session_start_info.hparams[name], value)
            yield summaries.session(str(metadata.SESSION_START_INFO_TAG), data)
        tags = {**self._said.get("tags", {})}
        for key in ("group", "job_type"):
            if self._said.get(key):
                tags[key] = self._said[key]
        if tags:
            rows = {"columns": ["tag", "text"], "data": [*map(list, tags.items())]}
            yield _text("tracelet/tags", summaries.grid(rows), time)
        if note := self._said.get("note"):
            yield _text("tracelet/note", note, time)


def _text(tag: str, content: str, time: float) -> Any:
    return summaries.text(Text(time=time, name=tag, text=""), tag, content)


def _fill(value: Any, param: Any) -> None:
    """Give TensorBoard a param, which may be a flag, a number or a text there."""
    if isinstance(param, bool):
        value.bool_value = param
    elif isinstance(param, (int, float)):
        value.number_value = float(param)
    else:
        shown = param if isinstance(param, str) else json.dumps(worded(param), ensure_ascii=False)
        value.string_value = shown[:_LONGEST]
