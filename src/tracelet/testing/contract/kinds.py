"""Kinds: every class of event arrives, or is declared absent; and its bytes with it."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from tracelet.events import (
    Artifact,
    Event,
    Histogram,
    Note,
    Params,
    Payload,
    Plain,
    RunFinished,
    RunStarted,
    Tags,
)
from tracelet.testing.contract.base import PROPERTY, Contract
from tracelet.testing.contract.comparing import held, same
from tracelet.testing.contract.opening import can_be_opened
from tracelet.testing.contract.samples import CLASSES, SAMPLES, Sample, named
from tracelet.testing.contract.scene import BEGAN, Run, Scene
from tracelet.testing.contract.ways import way

PARAMS: Final[dict[str, Plain]] = {
    "an integer": 3,
    "a large integer": 2**53 + 1,
    "a float": 0.1,
    "a small float": 1e-300,
    "a flag": True,
    "nothing": None,
    "a text": "größer",
    "an empty text": "",
    "a number in a text": "1",
    "lines": "one\ntwo\n",
    "nested.value": 1,
    "a list": [1, 2.5, "three", None, [True]],
}


def all_samples(scene: Scene) -> tuple[Run, list[Sample]]:
    """Log every sample to one run; return it, and the samples as they were logged."""
    samples = [named(sample, number) for number, sample in enumerate(SAMPLES)]
    start = next(sample.event for sample in samples if isinstance(sample.event, RunStarted))
    end = next(sample.event for sample in samples if isinstance(sample.event, RunFinished))
    fields = {**msgspec.structs.asdict(start), "project": scene.project, "run_id": "20231114-221320-0a11ad"}
    run = scene.run(**fields)
    logged = [
        sample._replace(event=_logged(run, sample))
        for sample in samples
        if type(sample.event) not in {RunStarted, RunFinished}
    ]
    run.finish(end)
    return run, [Sample("a run", run.started), *logged, Sample("the end", end)]


def _logged(run: Run, sample: Sample) -> Event:
    for event, content in (*sample.before, (sample.event, sample.content)):
        run.log(run.keep(event, content) if content else event)
    return run.events[-1]


class Kinds(Contract):
    """What is promised of each kind of event."""

    def test_every_class_of_event_has_a_sample(self) -> None:
        sampled = {type(sample.event) for sample in SAMPLES}

        assert [kind.__name__ for kind in CLASSES if kind not in sampled] == []

    def test_every_kind_of_event_arrives_or_is_declared_absent(
        self, scene: Scene, request: pytest.FixtureRequest
    ) -> None:
        run, samples = all_samples(scene)

        run.deliver()

        back = run.back()
        ways = [way(sample, back, held(sample.event, self.backend)) for sample in samples]
        told = {"backend": self.backend.name, "ways": [msgspec.to_builtins(one) for one in ways]}
        request.node.user_properties.append((PROPERTY, told))
        assert run.problems() == []

    def test_bytes_come_back_equal_or_as_a_file_that_can_be_opened(
        self, scene: Scene, tmp_path: Path
    ) -> None:
        run, samples = all_samples(scene)

        run.deliver()

        back = run.back()
        wrong = [
            f"{sample.what}: {problem}"
            for sample in samples
            if sample.content and (problem := self._wrong(run, sample, back, tmp_path / "back"))
        ]
        assert wrong == []

    def test_artifacts_come_back_byte_for_byte(self, scene: Scene, tmp_path: Path) -> None:
        self.needs_artifacts()
        contents = {
            "empty": b"",
            "every/byte.bin": bytes(range(256)) * 40,
            "lines.txt": b"one\r\ntwo\n",
            "a.tar.gz": b"\x1f\x8b\x08" + bytes(range(100)),
        }
        run = scene.run()
        for path, content in {"lines.txt": b"before", **contents}.items():
            run.log(run.keep(Artifact(time=BEGAN, path=path, size=0), content))
        left = tmp_path / "left where it was"
        left.write_bytes(b"left")
        seen = left.stat()
        run.log(
            Artifact(time=BEGAN, path="left.bin", size=seen.st_size, reference=str(left), mtime=seen.st_mtime)
        )
        run.finish()

        run.deliver()

        back = {}
        for path in (*contents, "left.bin"):
            scene.reader().download(run.id, path, tmp_path / "back")
            back[path] = (tmp_path / "back").read_bytes()
        assert back == {**contents, "left.bin": b"left"}

    def test_a_params_value_comes_back_as_declared(self, scene: Scene) -> None:
        run = scene.run(Params(BEGAN, PARAMS)).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_param_that_is_logged_again_has_its_last_value(self, scene: Scene) -> None:
        run = scene.run(Params(BEGAN, {"lr": 0.1, "epochs": 3}), Params(BEGAN + 1, {"lr": 0.2})).finish()

        run.deliver()

        assert run.problems() == []

    def test_tags_and_a_note_that_are_set_anew_are_what_they_were_last(self, scene: Scene) -> None:
        run = scene.run(
            Tags(BEGAN, {"stage": "first", "team": "vision"}),
            Note(BEGAN, "first"),
            Tags(BEGAN + 1, {"stage": "last", "began": "later"}),
            Note(BEGAN + 1, "last"),
            tags={"stage": "none", "began": "at once"},
            note="none",
        ).finish()

        run.deliver()

        assert run.problems() == []

    def _wrong(self, run: Run, sample: Sample, back: list[Event], to: Path) -> str:
        """Tell what is wrong with the bytes of a sample."""
        wanted = held(sample.event, self.backend)
        if wanted is None:
            return ""
        found = next((event for event in back if same(wanted, event)), None)
        if found is None:
            return "it did not come back"
        if isinstance(found, Histogram) and found.data is None:
            return _counted_wrong(sample.event, found)
        path, ending = _place(found)
        if not path:
            return "nothing tells where its bytes are"
        run.scene.reader().download(run.id, path, to)
        content = to.read_bytes()
        if _survives(wanted):
            return (
                "" if content == sample.content else f"{len(content)} other bytes, of {len(sample.content)}"
            )
        return "" if can_be_opened(content, ending) else f"{ending}: {content[:20]!r}… cannot be opened"


def _place(event: Event) -> tuple[str, str]:
    if isinstance(event, Artifact):
        return event.path, event.path.rpartition(".")[2]
    data: Payload | None = getattr(event, "data", None)
    return (data.path or data.digest, data.format) if data is not None else ("", "")


def _survives(wanted: Event) -> bool:
    """Tell whether a backend says that the bytes stay what they were: then it knows their size."""
    if isinstance(wanted, Artifact):
        return True
    data: Payload | None = getattr(wanted, "data", None)
    return data is not None and (data.size > 0 or bool(data.dtype))


def _counted_wrong(sent: Event, found: Histogram) -> str:
    data: Payload | None = getattr(sent, "data", None)
    values = data.shape[0] if data is not None else 0
    whole = sum(found.counts) == values and len(found.limits) == len(found.counts) + 1
    return "" if whole else f"{sum(found.counts)} are counted, of {values}"
