"""Names: whatever a tracker allows, a name comes back as it was, and is no other name's."""

from typing import Final

from tracelet.events import Artifact, Metric, Params, Tags, Text
from tracelet.testing.contract.base import Contract
from tracelet.testing.contract.scene import BEGAN, Scene

LONG: Final = "a/long name/" + "x" * 300
NAMES: Final = (
    "loss",
    "Loss",
    "train/loss",
    "train_loss",
    "train.loss",
    "a/b/c/d",
    "with space",
    "verlust/größe",
    "損失/値",
    "😀",
    "loss (%)",
    "loss _0x28__0x25__0x29_",  # what becomes of the one before, where parentheses may not stand
    "_0x41_",
    "a,b;c:d=e@f#g?h&i*j|k<l>m",
    "quote\"s and 'these'",
    "back\\slash",
    "100%41",
    "tab\tand\nline",
    " before",
    "after ",
    "/slash",
    "slash/",
    "two//slashes",
    ".",
    "..",
    "../up",
    "a/../b",
    ".hidden",
    f"{LONG}1",
    f"{LONG}2",  # the same but for its end
    "é" * 300,
    "漢" * 300,
)
PATHS: Final = (
    "model.bin",
    "a/b/c.txt",
    "with space (1).txt",
    "größe/損失.txt",
    "100%41.txt",
    "a#1?.txt",
    "a+b=c&d,e;f@g'h.txt",
    "_0x23_.txt",
    ".hidden",
    "UPPER.txt",
    "upper.txt",
)
CROSSING: Final = ("model.bin/below.txt", "a/b")
"""A path below the path of a file, and a file's path below which there are others."""


class Names(Contract):
    """What is promised of names."""

    def test_a_metrics_name_comes_back_as_it_was(self, scene: Scene) -> None:
        run = scene.run(*(Metric(name, float(at), at, BEGAN + at) for at, name in enumerate(NAMES))).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_params_name_comes_back_as_it_was(self, scene: Scene) -> None:
        run = scene.run(Params(BEGAN, {name: f"value {at}" for at, name in enumerate(["", *NAMES])})).finish()

        run.deliver()

        assert run.problems() == []

    def test_a_tags_name_comes_back_as_it_was(self, scene: Scene) -> None:
        tags = {name: f"value {at}" for at, name in enumerate(NAMES)}
        run = scene.run(
            Tags(BEGAN, {f"{name}!": f"{value}, later" for name, value in tags.items()}), tags=tags
        )
        run.finish()

        run.deliver()

        assert run.problems() == []

    def test_the_name_of_a_series_comes_back_as_it_was(self, scene: Scene) -> None:
        texts = [Text(time=BEGAN + at, name=name, text=f"{at}", step=at) for at, name in enumerate(NAMES)]
        run = scene.run(*texts).finish()

        run.deliver()

        assert run.problems() == []

    def test_an_artifacts_path_comes_back_as_it_was(self, scene: Scene) -> None:
        """Or is rejected alone, where a path stands in its way: a file system has nothing below a file."""
        run = scene.run()
        artifacts = [run.keep(Artifact(time=BEGAN, path=path, size=0), path.encode()) for path in PATHS]
        crossing = [run.keep(Artifact(time=BEGAN, path=path, size=0), path.encode()) for path in CROSSING]
        run.log(*artifacts, *crossing)
        run.finish()

        run.deliver()

        rejected = [reject.split(":")[0] for reject in run.rejects]
        assert rejected in ([], [f"Artifact {path}" for path in CROSSING])
        run.events = [event for event in run.events if not (rejected and event in crossing)]
        assert run.problems() == []

    def test_metrics_params_and_tags_of_one_name_are_apart(self, scene: Scene) -> None:
        run = scene.run(
            Params(BEGAN, {"lr": "a param"}),
            Tags(BEGAN, {"lr": "a tag"}),
            Metric("lr", 0.25, 0, BEGAN),
            Text(time=BEGAN, name="lr", text="a text", step=0),
        ).finish()

        run.deliver()

        assert run.problems() == []
