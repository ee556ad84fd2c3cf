"""Failures: one bad record loses only itself, and a Writer raises what the relay understands."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tracelet.backend import Options, Placed
from tracelet.errors import Refused, Rejected, Unavailable
from tracelet.events import Artifact, Event, Params, Tags, payload_of
from tracelet.journal import blobs
from tracelet.testing.contract.base import Contract, needs_writer
from tracelet.testing.contract.samples import SAMPLES, Sample
from tracelet.testing.contract.scene import BEGAN, Run, Scene, points

WITH_BYTES = [sample for sample in SAMPLES if payload_of(sample.event)[1]]
GARBAGE = b"\x00\xffneither this nor that\x80"


class _Taken(Exception):
    """Nothing was raised."""


class Failures(Contract):
    """What is promised of bad days."""

    @needs_writer
    def test_a_bad_record_loses_only_itself(self, scene: Scene) -> None:
        if not self.poison:
            pytest.skip(self.reason("poison", "it takes whatever the relay gives it"))
        *before, bad = self.poison
        run = scene.run(*before, *points("loss", range(20)), Params(BEGAN, {"lr": 0.1}))
        others = [*run.events]
        run.log(bad)
        later = [*points("loss", range(20, 40), 20), Tags(BEGAN, {"stage": "last"})]
        run.log(*later)
        run.finish()

        run.deliver()

        run.events = [*others, *later, run.events[-1]]
        assert len(run.rejects) == 1, run.rejects
        assert run.problems() == []

    @needs_writer
    def test_an_artifact_whose_file_has_changed_is_rejected_alone(self, scene: Scene, tmp_path: Path) -> None:
        self.needs_artifacts()
        gone, changed = tmp_path / "gone", tmp_path / "changed"
        changed.write_bytes(b"changed")
        run = scene.run(*points("loss", range(5)))
        whole = [run.keep(Artifact(time=BEGAN, path=f"{name}.bin", size=0), b"abc") for name in ("a", "b")]
        run.log(whole[0])
        others = [*run.events]
        for file in (gone, changed):
            run.log(Artifact(time=BEGAN, path=file.name, size=3, reference=str(file), mtime=BEGAN))
        run.log(whole[1])
        run.finish()

        run.deliver()

        run.events = [*others, *run.events[-2:]]
        assert [reject.split(":")[0] for reject in run.rejects] == ["Artifact gone", "Artifact changed"]
        assert run.problems() == []

    @needs_writer
    @pytest.mark.parametrize("content", [None, GARBAGE], ids=["gone", "garbage"])
    def test_a_payload_that_is_not_what_it_should_be_is_taken_or_rejected(
        self, scene: Scene, content: bytes | None
    ) -> None:
        """Never anything else: it would be tried for ever, or end the delivery."""
        run = scene.run()
        writer = scene.writer(run)
        writer.open(run.started)

        write = self._placing(writer.write)
        raised = {sample.what: _raised(run, write, sample, content) for sample in WITH_BYTES}

        writer.close()
        raised = {what: error for what, error in raised.items() if error is not None}
        strange = {what: repr(error) for what, error in raised.items() if not isinstance(error, Rejected)}
        assert strange == {}

    def _placing(self, write: Callable[[list[Event]], None]) -> Callable[[list[Event]], None]:
        """Give each event a row of its own, where the backend has rows."""
        rows, numbers = self.backend.rows, itertools.count()
        if rows is None:
            return write

        def placed(batch: list[Event]) -> None:
            given = [Placed(next(numbers), one) if isinstance(one, rows.kinds) else one for one in batch]
            write(cast("list[Event]", given))

        return placed

    @needs_writer
    def test_a_tracker_that_is_away_is_unavailable_or_refuses(self, scene: Scene, away: Options) -> None:
        run = scene.run(*points("loss", range(3)))
        scene.options = away
        writer = scene.writer(run)

        with pytest.raises((Unavailable, Refused)) as raised:
            writer.open(run.started)

        assert str(raised.value)

    def test_a_tracker_that_is_away_says_so_when_it_is_read_or_has_no_runs(self, away: Options) -> None:
        if self.backend.reader is None:
            pytest.skip(self.reason("reader", "it cannot be read"))

        listed: list[object] = []
        with contextlib.suppress(Unavailable, Refused):
            listed += self.backend.reader(away).runs(None)

        assert listed == []


def _raised(
    run: Run, write: Callable[[list[Event]], None], sample: Sample, content: bytes | None
) -> Exception | None:
    """Write a sample with other bytes than its own, or with none; return what that raised."""
    event = run.keep(sample.event, content or sample.content)
    if content is None:
        blobs.path_of(run.directory, payload_of(event)[0]).unlink()
    with pytest.raises(Exception) as raised:  # noqa: PT011, PT012  what a Writer may not raise is looked for
        write([event])
        raise _Taken
    return None if isinstance(raised.value, _Taken) else raised.value
