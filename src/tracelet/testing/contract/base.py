"""What all promises share: which backend, which store, and what does not apply to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from tracelet import backends
from tracelet.backend import Backend, Options, Reader
from tracelet.errors import ConfigError
from tracelet.events import Artifact, Event
from tracelet.testing.contract.comparing import held
from tracelet.testing.contract.scene import Scene

PROPERTY: Final = "contract"
"""The user property of a test's report that `tracelet.testing.contract.plugin` reads."""
needs_writer: Final = pytest.mark.usefixtures("relayed")
"""Marks a promise that only a Writer can make."""
_PARTS: Final = frozenset({"reader", "poison", "away", "server", "forget"})


class Contract:
    """The base of every claim.

    Attributes:
        backend: The backend that makes the promises.
        load: What `tracelet.backends.load` takes for it, such as "package.module:BACKEND"; its name
            if empty. Another process finds it by that.
        project: The project of every run; a fixture may choose another for a test.
        poison: Events of which the tracker takes all but the last, which it rejects; none if it takes
            whatever the relay gives it.
        never_again: What the refusal says, as a regular expression, of a tracker that does not take a
            run again which was deleted there; empty if it does.
        exempt: What does not apply to this backend, each with the reason: the name of a test, or
            "reader", "poison", "away", "server", "forget". Each is shown as a skip.
    """

    backend: ClassVar[Backend]
    load: ClassVar[str] = ""
    project: str = "a project"
    poison: ClassVar[Sequence[Event]] = ()
    never_again: ClassVar[str] = ""
    exempt: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for what, reason in cls.exempt.items():
            if what not in _PARTS and not (what.startswith("test_") and hasattr(cls, what)):
                raise TypeError(f"{cls.__name__}.exempt: there is no promise called {what!r}")
            if not reason.strip():
                raise TypeError(f"{cls.__name__}.exempt: {what!r} has no reason")

    @pytest.fixture(autouse=True)
    def _shown(self, request: pytest.FixtureRequest) -> None:
        """Note whose test this is, and skip what does not apply."""
        request.node.user_properties.append((PROPERTY, {"backend": self.backend.name}))
        name = getattr(request.node, "originalname", None) or request.node.name
        if name in self.exempt:
            pytest.skip(self.exempt[name])

    @pytest.fixture
    def options(self, tmp_path: Path) -> Options:
        """Return the options of a fresh, empty store, as `Backend.configure` would choose them."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `options`, not below {tmp_path}")

    @pytest.fixture
    def reader(self, options: Options) -> Iterator[Reader]:
        """Open the store; asked for once something has been written to it."""
        if self.backend.reader is None:
            pytest.skip(self.reason("reader", "it cannot be read"))
        reader = self.backend.reader(options)
        yield reader
        reader.close()

    @pytest.fixture
    def away(self) -> Options:
        """Return the options of a tracker that cannot be reached: nobody listens, or nobody may write."""
        pytest.skip(self.reason("away", "there is no way to make it unreachable"))

    @pytest.fixture
    def forget(self) -> Callable[[str], object]:
        """Return what deletes a run at the tracker, as its users do, by the tracker's id of it."""
        pytest.skip(self.reason("forget", "nothing can be deleted there"))

    @pytest.fixture
    def relayed(self) -> None:
        """Skip what only a Writer can promise."""
        if self.backend.writer is None:
            pytest.skip("the journal is its store: there is no Writer")

    @pytest.fixture
    def scene(self, request: pytest.FixtureRequest, tmp_path: Path, options: Options) -> Scene:
        """Return where a test makes its runs."""
        return Scene(
            place=tmp_path,
            backend=self.backend,
            load=self._loaded(),
            options=options,
            project=self.project,
            reader=lambda: request.getfixturevalue("reader"),
        )

    def needs_artifacts(self) -> None:
        """Skip where the backend declares that it keeps no artifacts."""
        if held(Artifact(time=0.0, path="a", size=1), self.backend) is None:
            pytest.skip(f"{self.backend.name} declares by `held` that it keeps no artifacts")

    def reason(self, what: str, example: str) -> str:
        """Return why a part does not apply; fail where nobody has said so."""
        if what not in self.exempt:
            pytest.fail(f"{type(self).__name__} has no `{what}`. If so: exempt = {{{what!r}: {example!r}}}")
        return self.exempt[what]

    def _loaded(self) -> str:
        load = self.load or self.backend.name
        try:
            found = backends.load(load)
        except ConfigError as error:
            pytest.fail(f"{error} Say how it is found: load = 'package.module:BACKEND'")
        if found is not self.backend:
            pytest.fail(f"{load!r} is another backend. Say how it is found: load = 'package.module:BACKEND'")
        return load
