"""W&B's public API: the connection to a server, with a deadline for each question.

The client's service process answers, and repeats a question for days if the server does not. So each
question is asked by a thread of its own, which is left behind if no answer comes.
"""

import itertools
import logging
import math
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, Final, TypeVar

from tracelet.backend import UPLOAD_RATE, Options, patience
from tracelet.backends.wandb.options import BASE_URL, with_credentials
from tracelet.backends.wandb.places import environment
from tracelet.backends.wandb.reaching import ELSEWHERE, is_page, knock
from tracelet.backends.wandb.session import check_credentials
from tracelet.errors import BackendError, Refused, Unavailable
from tracelet.scrub import without_userinfo, without_userinfo_in

PATIENCE: Final = 60.0  # seconds for one question
_ASKED: Final = 20.0  # seconds after which the client gives up a question, where it does
_LENGTH: Final = 500  # characters of a foreign message that are kept
_MISSING: Final = 404
_LASTING: Final = frozenset({400, 401, 403, _MISSING, 422})
_LOGIN: Final = frozenset({401, 403})
_WORDS: Final = re.compile(
    r"could not find|not found|does not exist|permission|unauthori[sz]ed|forbidden|api[ _]key .*must",
    re.IGNORECASE,
)
_HOME: Final = {"WANDB_ERROR_REPORTING": "false"}  # it reports nothing there
T = TypeVar("T")


class Connection:
    """The way to a server.

    What the client writes on this machine goes to a directory that is removed in the end.
    """

    def __init__(self, options: Options) -> None:
        self.url = options.get("base_url", "") or BASE_URL
        self._patience = patience(options, PATIENCE)
        self._api: Any = None
        self._place = ""
        self._remove: Callable[[], object] = lambda: None

    def ask(self, work: Callable[[Any], T], size: int = 0) -> T:
        """Return what `work` makes of the client's `Api`.

        Args:
            work: The question.
            size: Bytes that are sent, or that come.

        Raises:
            Unavailable: The server does not answer, or not within some seconds.
            Refused: It will not answer this.
        """
        if not self._place:
            self._place = tempfile.mkdtemp(prefix="tracelet-reading-")
            # At the exit too, and when nobody has closed this.
            self._remove = weakref.finalize(self, shutil.rmtree, self._place, ignore_errors=True)
        if self._api is None:
            with environment(**_HOME, WANDB_CACHE_DIR=self._place):
                self._api = self._answer(self._opened, self._patience)
        api = self._api
        with environment(**_HOME, WANDB_CACHE_DIR=self._place, WANDB_DIR=self._place):
            return self._answer(lambda: work(api), self._patience + size / UPLOAD_RATE)

    def each(self, found: Iterable[T], most: int) -> Iterator[T]:
        """Give what the client finds, asking for some of it at a time."""
        rest = (one for one in found)  # the client's own begin anew with each `iter`
        while page := self.ask(lambda _: [*itertools.islice(rest, most)]):
            yield from page

    def fetch(self, file: Callable[[Any], Any], to: Path) -> bool:
        """Write a file of the client's to a file of ours; tell whether there is one.

        Args:
            file: Finds it, given the client's `Api`; None if there is none.
            to: Our file.
        """
        found = self.ask(file)
        if found is None:
            return False
        place = tempfile.mkdtemp(dir=self._place)
        self.ask(lambda _: found.download(root=place, replace=True).close(), found.size)
        shutil.move(Path(place, found.name), to)
        shutil.rmtree(place, ignore_errors=True)
        return True

    def close(self) -> None:
        """Let go of the client, and of what it has written here."""
        self._api = None
        self._place = ""
        self._remove()

    @property
    def _shown(self) -> str:
        return f"W&B at {without_userinfo(self.url)}"

    def _answer(self, work: Callable[[], T], seconds: float) -> T:
        """Do something in a thread of its own, for so long."""
        answer: Future[T] = Future()

        def asked() -> None:
            with _Handed(answer):
                answer.set_result(work())

        threading.Thread(target=asked, name="tracelet-wandb", daemon=True).start()
        try:
            return answer.result(seconds)
        except FutureTimeout:
            self._api = None
            raise Unavailable(f"{self._shown}: no answer within {seconds:.0f} s") from None
        except BackendError:
            raise
        except Exception as error:  # noqa: BLE001  a client may raise anything; there are two outcomes
            raise self._translated(error) from None  # the original's traceback may show a key

    def _opened(self) -> Any:
        """Make the client's `Api`."""
        import wandb

        client: Any = wandb
        _hush()
        url = with_credentials(self.url)
        _log_in(url)
        knock(url, client, self._patience)
        return client.Api(overrides={"base_url": url}, timeout=math.ceil(min(_ASKED, self._patience)))

    def _translated(self, error: BaseException) -> BackendError:
        message = without_userinfo_in(" ".join(str(error).split()))[:_LENGTH] or type(error).__name__
        if is_page(message):
            return Unavailable(f"{self._shown}: {ELSEWHERE}")
        status = _status(error)
        if status in _LOGIN:
            return Refused(
                f"{self._shown} refuses the API key ({message}): `wandb login`, or set WANDB_API_KEY"
            )
        if status in _LASTING or _WORDS.search(message):
            return Refused(f"{self._shown}: {message}")
        return Unavailable(f"{self._shown}: {message}")


class _Handed:
    """Hands an error to whoever waits for the answer, and raises it there only."""

    def __init__(self, answer: "Future[Any]") -> None:
        self._answer = answer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self._answer.set_exception(error)
        return True


def _status(error: BaseException | None) -> int:
    """Find the status of HTTP in what the client has raised; 0 if there is none."""
    while error is not None:
        response: Any = getattr(error, "response", None)
        status: Any = getattr(response, "http_status", 0) or getattr(response, "status_code", 0)
        if status:
            return int(status)
        error = error.__cause__ or error.__context__
    return 0


def _log_in(url: str) -> None:
    """Make sure that there are credentials: without them, the client would ask for them.

    Raises:
        Refused: There are none.
    """
    try:
        check_credentials(url)
    except Refused:
        raise Refused(
            f"there is no API key for {without_userinfo(url)}: run `wandb login`, or set WANDB_API_KEY"
        ) from None


def _hush() -> None:
    """Have the client log nothing: of what it finds out, it raises what matters."""
    logger = logging.getLogger("wandb")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
