"""A notebook in the place of an experiment: what a capture hands over, before anything is made of it."""

from typing import Any, NamedTuple


class Heard(NamedTuple):
    name: str
    value: Any
    step: Any
    time: float | None


class Notebook:
    """Notes what a capture hands over, as it was handed over; an experiment converts it and keeps it."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.texts: list[tuple[str, str, Any, float | None]] = []
        self.params: dict[str, Any] = {}
        self.histograms: list[tuple[str, Any]] = []
        self.images: list[tuple[str, Any]] = []

    def text(self, name: str, text: str, step: object, time: float | None) -> None:
        self.texts.append((name, text, step, time))

    def log_params(self, params: dict[str, Any]) -> None:
        self.params |= params

    def histogram(self, name: str, _values: object, step: object, *_: object, **_more: object) -> None:
        self.histograms.append((name, step))

    def image(self, name: str, _image: object, step: object, *_: object, **_more: object) -> None:
        self.images.append((name, step))

    def scalar(self, name: str, value: object, step: object, time: float | None) -> None:
        self.heard.append(Heard(name, value, step, time))

    @property
    def names(self) -> list[str]:
        return [heard.name for heard in self.heard]
