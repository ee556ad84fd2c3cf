"""ClearML's own session, which neither talks nor hangs: the only place that calls the client's private parts.

The client finds its server and its credentials as for everybody, in the environment or in
`~/clearml.conf`. Its session would try for ever when a certificate is wrong, a server says that it is
under maintenance, or an answer is cut; so requests are sent by `Transport`, once and with an end to
each wait. For that `Session._send_request` is replaced, which is private: where it is not, the client's
own is used, and the relay's patience is what ends a wait.
"""

import base64
import contextlib
import io
import logging
import os
import re
import urllib.parse
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tracelet.backend import UPLOAD_RATE, Options, patience
from tracelet.backends.clearml.failures import Answered, Failed, check, unanswered
from tracelet.backends.clearml.files import Files, fetch
from tracelet.backends.clearml.said import objects
from tracelet.errors import Refused, Unavailable
from tracelet.scrub import restore_userinfo, without_userinfo

CONNECTING: Final = 10.0  # seconds
ANSWERING: Final = 30.0  # seconds that the server may be silent
PAGE: Final = 2000  # events that are read at once
_PAGES: Final = 500  # tasks; the server's own limit
_PORTS: Final = {"web": "8080", "files": "8081"}
_HOSTS: Final = {"web": "app", "files": "files"}
_API_PORT: Final = "8008"
_ENCODER: Final = msgspec.json.Encoder()
_NOWHERE: Final = frozenset({404, 405})  # what a server answers that has no API


class Transport:
    """Sends one request, once.

    Args:
        seconds: How long the server may be silent.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._http: Any = None

    def open(self, config: Any) -> None:
        """Make ready.

        Args:
            config: The client's configuration.

        Raises:
            Refused: The client is another one than we know.
        """
        from clearml.backend_api import utils

        make: Any = getattr(utils, "get_http_session_with_retry", None)
        if make is None:
            raise Refused(
                "this version of ClearML's client has no `get_http_session_with_retry`: install clearml 2.1, "
                "then `tracelet sync`"
            )
        self._http = make(total=0, config=config)

    def send(self, method: str, url: str, **more: Any) -> Any:
        """Send a request, and return the answer, whatever it says.

        Raises:
            Unavailable: There is none.
        """
        body = more.get("data")
        sending = len(body) / UPLOAD_RATE if isinstance(body, bytes) else 0.0  # a form is sent in pieces
        timeout = min(CONNECTING, self._seconds) + sending, self._seconds + sending
        self._http.write_timeout = timeout  # else the client's own session waits five minutes
        try:
            return self._http.request(method, url, timeout=timeout, allow_redirects=method == "get", **more)
        except OSError as error:  # as all exceptions of requests are
            raise unanswered(url, error) from None

    def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            self._http.close()


class Connection:
    """A server.

    Args:
        options: Where it is, unless the client is to find it.

    Attributes:
        transport: Sends requests.
        files: The URL below which files go.
        web: The URL of the pages; empty if nobody knows it.
        anew: See `Remote.anew`.
        view: See `Remote.view`.
    """

    anew = False
    view = ""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.transport = Transport(patience(options, ANSWERING))
        self.files = self.web = self._login = ""
        self._session: Any = None

    def open(self) -> None:
        """Connect, and log in.

        Raises:
            Unavailable: The server does not answer.
            Refused: There are no credentials, or the server does not take them.
        """
        if self._session is not None:
            return
        with quiet():
            session = _session(self.transport, self._options.get("api_host", ""))
        self._session = session
        self._find_hosts()

    def call(self, name: str, /, **body: Any) -> dict[str, Any]:
        """Ask the server for something, such as "tasks.create"; return what it says.

        Raises:
            Answered: It said no.
            Failed: It has failed.
        """
        try:
            return self._data(name, self._send(name, msgspec.json.encode(body), "application/json"))
        except Answered as error:
            if error.failed:
                raise Failed(str(error)) from None
            raise

    def add(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Add events, as many as there are; return what the server says."""
        body = _ENCODER.encode_lines(events).rstrip(b"\n")
        name = "events.add_batch"
        return self._data(name, self._send(name, body, "application/json-lines"))

    def events(self, task: str, kind: str) -> Iterator[dict[str, Any]]:
        """Give all events of one type of a task, the oldest first."""
        asked: dict[str, Any] = {"task": task, "event_type": kind, "batch_size": PAGE, "order": "asc"}
        while True:
            answer = self.call("events.get_task_events", **asked)
            found = objects(answer.get("events"))
            yield from found
            if len(found) < PAGE:
                return
            asked["scroll_id"] = answer.get("scroll_id")

    def pages(self, name: str, what: str, /, **asked: Any) -> Iterator[dict[str, Any]]:
        """Give all that a question of several pages is answered with, such as "tasks.get_all_ex"."""
        page = 0
        while True:
            found = objects(self.call(name, **asked, page=page, page_size=_PAGES).get(what))
            yield from found
            if len(found) < _PAGES:
                return
            page += 1

    def store(self, place: str) -> Files:
        """Return where files go, below a place at the file server."""
        return Files(self, place)

    def download(self, url: str, to: Path) -> None:
        """Write the bytes at an address to a file."""
        fetch(self, url, to)

    def headers(self, url: str) -> dict[str, str]:
        """Return what a request to a URL needs, if that is a server of ClearML's and not a stranger's."""
        if self._login and _is_below(url, self.files):
            return {"Authorization": self._login}
        ours = _is_below(url, self.files) or _is_below(url, self.api)
        return dict(self._session.add_auth_headers({})) if ours else {}

    @property
    def api(self) -> str:
        """The URL of the server."""
        return str(self._session.host)

    @property
    def shown(self) -> str:
        """What it is called in a message."""
        return without_userinfo(self.api)

    def close(self) -> None:
        """Let go of connections."""
        self._session = None
        self.transport.close()

    def _send(self, name: str, body: bytes, kind: str) -> Any:
        self.open()
        service, _, action = name.partition(".")
        headers = {"Content-Type": kind}
        version = getattr(self._session, "api_version", None)  # the server's own, as its login has told
        return self._session.send_request(service, action, version, "post", headers, body)

    def _data(self, name: str, answer: Any) -> dict[str, Any]:
        if answer is None:
            raise Refused("ClearML's client is offline: unset CLEARML_OFFLINE_MODE, then `tracelet sync`")
        check(answer, name)
        try:
            return dict(answer.json()["data"])
        except (ValueError, TypeError, KeyError):
            raise Unavailable(f"{name}: an answer that is none of ClearML's") from None

    def _find_hosts(self) -> None:
        files, web = self._host("files"), self._host("web")
        # Without credentials: what is said of an address lies in files, and at the tracker.
        self.files, self.web = without_userinfo(files), without_userinfo(web)
        self._login = _basic(files)

    def _host(self, name: str) -> str:
        """Find an address, with the credentials that the environment has for it."""
        variable, chosen = f"CLEARML_{name.upper()}_HOST", self._options.get(f"{name}_host", "")
        own, given = (
            os.environ.get(one, "").strip().rstrip("/") for one in (f"TRACELET_{variable}", variable)
        )
        return restore_userinfo(chosen, (own, given)) if chosen else given or self._found(name).rstrip("/")

    def _found(self, name: str) -> str:
        if self._options.get("api_host", ""):
            return beside(self._options["api_host"], name)
        ask = {"files": "get_files_server_host", "web": "get_app_server_host"}[name]
        try:
            return str(getattr(self._session, ask)(self._session.config))
        except (ValueError, AttributeError):  # an address that tells nothing of the others
            return beside(self.api, name)


def beside(api: str, name: str) -> str:
    """Guess the address of the "web" or "files" server from that of the API; empty if it cannot be told."""
    parts = urllib.parse.urlsplit(api)
    host = parts.hostname or ""
    if parts.port is not None and str(parts.port) == _API_PORT:
        return f"{parts.scheme}://{host}:{_PORTS[name]}"
    return re.sub(r"://api\.", f"://{_HOSTS[name]}.", api) if host.startswith("api.") else ""


def _is_below(url: str, host: str) -> bool:
    return bool(host) and f"{url}/".startswith(f"{host.rstrip('/')}/")


def _basic(url: str) -> str:
    """Return the header that says the credentials in an address; empty if there are none."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or parts.username is None:
        return ""
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _session(transport: Transport, host: str) -> Any:
    """Make a session of the client's, which is logged in, and whose requests `transport` sends."""
    from clearml.backend_api import Session
    from clearml.config import config_obj

    client: Any = Session
    _load(config_obj)
    transport.open(config_obj)
    kind = _bounded(client, transport) if callable(getattr(client, "_send_request", None)) else client
    logger = logging.getLogger("tracelet.backends.clearml.client")
    logger.setLevel(logging.CRITICAL)  # what is wrong is raised, and told by us
    return kind(host=host or None, logger=logger, http_retries_config={"total": 0, "backoff_factor": 0.1})


def _load(config: Any) -> None:
    """Have the client read its configuration, which it does when it is first asked."""
    config.get("api", None)


def _bounded(client: Any, transport: Transport) -> Any:
    """Make a kind of session that sends each request once, and is never offline."""

    class Bounded(client):
        _offline_mode = False  # else a variable of the trainer's would make it say nothing

        def _send_request(
            self,
            service: str,
            action: str,
            version: str | None = None,
            method: str | None = None,
            headers: dict[str, str] | None = None,
            auth: Any = None,
            data: Any = None,
            json: Any = None,
            refresh_token_if_unauthorized: bool = True,
            params: Any = None,
            **_: Any,
        ) -> Any:
            own: Any = self
            told = {**(headers or {}), "X-ClearML-Worker": own.worker, "X-ClearML-Client": own.client}
            place = f"v{version}/{service}.{action}" if version else f"{service}.{action}"
            sent: dict[str, Any] = {"auth": auth, "data": data, "json": json, "params": params}
            url = f"{own.host}/{place}"
            method = (method or "get").upper()  # no redirect is followed: a POST would become a GET
            answer = transport.send(method, url, headers=told, **sent)
            if answer.status_code == 401 and refresh_token_if_unauthorized:  # noqa: PLR2004  HTTP
                own.refresh_token()  # a token is good for some time only
                answer = transport.send(method, url, headers=own.add_auth_headers(told), **sent)
            if action == "login":
                _check_login(answer, str(own.host))
            return answer

    return Bounded


def _check_login(answer: Any, host: str) -> None:
    """Raise what the answer to a login means, unless it is a good one."""
    nowhere = int(answer.status_code) in _NOWHERE
    if not nowhere:
        check(answer, f"login at {without_userinfo(host)}")
    try:
        token = answer.json()["data"]["token"]
    except (ValueError, TypeError, KeyError):
        token = None
    if nowhere or not token:
        raise Refused(
            f"{without_userinfo(host)} is not ClearML's API server, whose port usually is {_API_PORT}"
        )


@contextlib.contextmanager
def quiet() -> Generator[None, None, None]:
    """Let the client print nothing: what is wrong is raised, and told by us."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
