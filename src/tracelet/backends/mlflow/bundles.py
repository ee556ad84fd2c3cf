"""What MLflow knows of a bundle besides its files: a version of a registered model, a run's dataset.

    kind "model"       a version of the registered model of that name, with its aliases; its source is
                       `runs:/<run>/<path>`, or the reference
    kind "dataset"     a dataset that the run used: name, digest, source; schema, profile and context
                       as the metadata say
    any other kind     nothing

Each bears the record's digest in the tag `tracelet.record`, from the request on that makes it, so that
a repetition finds it. A store that has no registry, or knows no datasets, takes the rest all the same.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracelet.backend import Limits
from tracelet.backends.mlflow.failures import translated
from tracelet.backends.mlflow.held import worded
from tracelet.backends.mlflow.paths import escaped
from tracelet.backends.mlflow.tags import RECORD
from tracelet.errors import Rejected, Unavailable
from tracelet.events import Bundle
from tracelet.names import NameMap

_LOG: Final = logging.getLogger(__name__)
_MODELS: Final = NameMap(
    Limits(name_length=250, name_characters=r"\x20-\x2e\x30-\x39\x3b-\U0010ffff", name_is_path=True)
)
_ALIASES: Final = NameMap(Limits(name_length=250, name_characters=r"\w\-"))
_RESERVED: Final = re.compile(r"v\d+", re.IGNORECASE)
_LATEST: Final = "latest"
"""An alias that MLflow gives to the newest version by itself."""
_STEP: Final = "tracelet.step"
_CONTEXT: Final = "mlflow.data.context"
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
_ABSENT: Final = frozenset({"ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "NOT_IMPLEMENTED"})
_LENGTHS: Final = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}


def announce(client: Any, run: str, bundle: Bundle, record: str) -> None:
    """Let MLflow know of a bundle whose files are there.

    Args:
        client: MLflow's.
        run: Its id of the run.
        bundle: What was logged.
        record: Its digest.

    Raises:
        Rejected: MLflow refuses; the files stay.
        Unavailable: Not now.
    """
    if not bundle.files and not bundle.reference:
        return
    if bundle.kind == "model":
        _tried(f"model {bundle.name!r}", "registered", lambda: _register(client, run, bundle, record))
    elif bundle.kind == "dataset":
        _tried(f"dataset {bundle.name!r}", "noted", lambda: _use(client, run, bundle, record))


def model_name(name: str) -> str:
    """Return what a registered model is called."""
    return _MODELS.to_tracker(name)


def alias(name: str) -> str:
    """Return what an alias is called; empty if MLflow gives it by itself."""
    if name.lower() == _LATEST:
        return ""
    # MLflow reads "v3" as the third version.
    return f"_0x{ord(name[0]):x}_{name[1:]}" if _RESERVED.fullmatch(name) else _ALIASES.to_tracker(name)


def _tried(what: str, done: str, call: Callable[[], None]) -> None:
    """Call MLflow for what a store need not have."""
    from mlflow.exceptions import MlflowException

    try:
        call()
    except (MlflowException, NotImplementedError) as error:
        code = getattr(error, "error_code", "NOT_IMPLEMENTED")
        if code in _ABSENT or type(error).__name__.startswith("Unsupported"):
            _LOG.warning(
                "%s is not %s, its files are there: the store cannot do that (%s)", what, done, error
            )
            return
        meaning = translated(error)
        if isinstance(meaning, Unavailable):
            raise
        raise Rejected(f"{what} could not be {done}, though its files are there: {meaning}") from None


def _register(client: Any, run: str, bundle: Bundle, record: str) -> None:
    from mlflow.exceptions import MlflowException

    name = model_name(bundle.name)
    version = _version(client, run, name, record)
    is_new = version is None
    if version is None:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        told = {RECORD: record} | ({} if bundle.step is None else {_STEP: str(bundle.step)})
        source = f"runs:/{run}/{escaped(bundle.path)}" if bundle.files else bundle.reference
        made = client.create_model_version(name, source, run, tags=told, await_creation_for=0)
        version = int(made.version)
    given: Mapping[str, Any] = client.get_registered_model(name).aliases
    for one in filter(None, map(alias, dict.fromkeys(bundle.aliases))):
        # A newer version may have it since: then this is a repetition.
        if is_new or int(given.get(one, 0)) < version:
            client.set_registered_model_alias(name, one, str(version))


def _version(client: Any, run: str, name: str, record: str) -> int | None:
    """Find the version that a record has made."""
    token: str | None = None
    while True:
        page = client.search_model_versions(f"run_id='{run}'", page_token=token)
        for found in page:
            if found.name == name and found.tags.get(RECORD) == record:
                return int(found.version)
        token = page.token
        if not token:
            return None


def _use(client: Any, run: str, bundle: Bundle, record: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind, source = _source(run, bundle)
    fields = {
        "name": bundle.name[: _LENGTHS["name"]] or "_",
        "digest": _digest(bundle),
        "source": json.dumps(source),
        "schema": _text(bundle.metadata.get("schema")),
        "profile": _text(bundle.metadata.get("profile")),
    }
    # What is too long is left out: a part of a JSON is none.
    kept: dict[str, Any] = {name: text for name, text in fields.items() if len(text) <= _LENGTHS[name]}
    told = [InputTag(RECORD, record)]
    if context := _text(bundle.metadata.get("context")):
        told.append(InputTag(_CONTEXT, context[:500]))
    dataset = Dataset(source_type=kind, **{"source": "{}", **{n: t for n, t in kept.items() if t}})
    client.log_inputs(run, [DatasetInput(dataset, told)])


def _source(run: str, bundle: Bundle) -> tuple[str, dict[str, str]]:
    """Tell where a dataset is, as `mlflow.data.get_source` understands it."""
    if bundle.files:
        return "local", {"uri": f"runs:/{run}/{escaped(bundle.path)}"}  # which it downloads
    scheme = _SCHEME.match(bundle.reference)
    name = scheme[1].lower() if scheme else ""
    if name in {"http", "https"}:
        return "http", {"url": bundle.reference}
    return ("local" if name in {"", "file"} else name), {"uri": bundle.reference}


def _digest(bundle: Bundle) -> str:
    given = bundle.metadata.get("digest")
    if isinstance(given, str) and given:
        return given[: _LENGTHS["digest"]]
    said = [bundle.data.digest if bundle.data else "", bundle.reference, worded(bundle.metadata)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(worded(value))
