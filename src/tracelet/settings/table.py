"""The one table of settings: what each is called, what it can be, its default and its meaning.

`Resolved` is the table: a field is a setting. `TraceletSettings`, the toml files, the variables, the
command line and docs/settings.md are all made from it, or checked against it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar, cast

from tracelet import scrub
from tracelet.errors import ConfigError, suggestion
from tracelet.settings.kinds import (
    CHECKPOINTS,
    DURABILITY,
    DURATION,
    FLAG,
    MODE,
    NAMES,
    NICENESS,
    PATH,
    RELAY,
    SIZE,
    TAGS,
    TEXT,
    URI,
    Kind,
)
from tracelet.settings.routes import ROUTES, Routes

PREFIX: Final = "TRACELET_"
SHOWN: Final = 200  # characters of a value in a message
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    Attributes:
        name: As in code and in toml.
        kind: What it can be.
        default: What holds if nobody says anything.
        about: What it means, in one line.
        otherwise: What happens if it is empty.
        in_config: Whether it is a setting in `config` too; else it is a hyperparameter there.
    """

    name: str
    kind: Kind[Any]
    default: Any
    about: str
    otherwise: str
    in_config: bool

    @property
    def variable(self) -> str:
        """Name the environment variable that sets it."""
        return PREFIX + self.name.upper()

    def parse(self, value: object, place: str) -> Any:
        """Understand what was given in `place`.

        Raises:
            ConfigError: It does not fit; the message says what would.
        """
        try:
            return self.kind.parse(value)
        except TypeError as error:
            raise ConfigError(
                f"{self.name}={_shown(value)} (from {place}) does not fit; it takes {error}"
            ) from None
        except Exception as error:  # what the user's object raises when it is asked for its text
            kind = type(error).__name__
            message = f"{self.name}={_shown(value)} (from {place}) does not fit: its value raised {kind}"
            raise ConfigError(message) from error

    def safe(self, value: Any) -> Any:
        """Give a value without the credentials in its URIs."""
        shown = self.kind.shown
        if isinstance(value, dict):
            texts = cast("dict[str, object]", value).items()
            return {name: shown(text) if isinstance(text, str) else text for name, text in texts}
        if isinstance(value, tuple):
            return tuple(shown(text) for text in cast("tuple[str, ...]", value))
        return shown(value) if isinstance(value, str) else value

    def write(self, value: Any) -> str:
        """Write a value as a variable would hold it, without credentials."""
        return self.kind.write(self.safe(value))


def _shown(value: object) -> str:
    """Show a value in a message: short, without credentials, whatever its own text does."""
    try:
        text = scrub.without_userinfo_in(repr(value))
    except Exception:  # noqa: BLE001  the user's own __repr__
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _is(kind: Kind[T], default: T, about: str, otherwise: str = "", *, config: bool = False) -> T:
    """Make a field of `Resolved`; `config` says whether it is a setting in `config` too."""
    metadata = {"setting": (kind, about, otherwise, config)}
    if isinstance(default, dict):
        made: Any = field(default_factory=cast("dict[str, Any]", default).copy, metadata=metadata)
    else:
        made = field(default=default, metadata=metadata, repr=kind is not URI)  # it may hold a password
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings of one run, after every source was asked.

    `sources` tells where each value that is not a default came from; `hyperparameters` is what
    `config` held besides settings; `dotenv` what stands in `.env`, and the URIs with credentials of a
    toml file, as variables. Durations are seconds, sizes bytes.
    """

    exp_name: str = _is(TEXT, "", "The run's name.", "the script's name and the time")
    project: str = _is(
        TEXT,
        "",
        "The project that the run belongs to.",
        'what the tracker\'s own variable says, else "default"',
    )
    backend: tuple[str, ...] = _is(
        NAMES,
        (),
        "Where the run goes: one backend or several.",
        "mlflow if its client is installed, else local",
    )
    routes: Routes = _is(  # noqa: RUF009  it makes a field
        ROUTES,
        {},
        "What goes to which backend, and under which names: see docs/routing.md.",
        "everything, as it was logged",
    )
    mode: str = _is(
        MODE,
        "online",
        '"online" delivers while the script trains; "offline" only records, until `tracelet sync`; '
        '"disabled" does nothing.',
    )
    run_name: str = _is(TEXT, "", "The run's name; stronger than exp_name.", "exp_name", config=True)
    experiment_name: str = _is(
        TEXT, "", "The project, as MLflow calls it; stronger than project.", "project", config=True
    )
    backend_url: str = _is(
        URI,
        "",
        "The tracker's address, if only one of the backends takes one.",
        "the tracker's own",
        config=True,
    )
    tags: dict[str, str] = _is(TAGS, {}, "Tags of the run.", config=True)  # noqa: RUF009  it makes a field
    notes: str = _is(TEXT, "", "The run's note.", config=True)
    group: str = _is(TEXT, "", "A word that related runs share.", config=True)
    job_type: str = _is(TEXT, "", 'What the run does: "train", "eval".', config=True)
    track_system: bool = _is(FLAG, False, "Measure CPU, GPU and memory.", config=True)
    track_git: bool = _is(FLAG, False, "Note the commit, and what is not committed.", config=True)
    track_env: bool = _is(FLAG, False, "Note Python, and the versions of packages.", config=True)
    track_tensorboard: bool = _is(FLAG, True, "Listen to SummaryWriter.", config=True)
    track_lightning: bool = _is(FLAG, True, "Listen to Lightning.", config=True)
    log_checkpoints: str = _is(
        CHECKPOINTS,
        "none",
        "Which checkpoints of Lightning's ModelCheckpoint become artifacts: "
        '"none"; "best", that of each when a fit ends; "all", each as it is saved.',
    )
    automagic: bool = _is(FLAG, False, "Reserved.", config=True)
    metrics_interval: float = _is(
        DURATION, 10.0, "Time between two measurements of the machine.", config=True
    )
    max_image_size: int = _is(
        SIZE,
        0,
        "How many bytes an image may have before it is encoded; a larger one is delivered smaller. "
        "0 for any size.",
        config=True,
    )
    mlflow_tracking_uri: str = _is(
        URI,
        "",
        "MLflow's tracking URI.",
        "what the script told MLflow, MLFLOW_TRACKING_URI, or mlflow.db beside the script",
    )
    mlflow_attach_timeout: float = _is(
        DURATION, 30.0, "How long the script's first call of MLflow waits for the run's id, at most."
    )
    wandb_entity: str = _is(TEXT, "", "The user or team at W&B.", "what W&B says")
    wandb_project: str = _is(TEXT, "", "The project at W&B.", "project")
    trackio_dir: str = _is(PATH, "", "Where Trackio keeps its databases.", "TRACKIO_DIR, or Trackio's own")
    tensorboard_dir: str = _is(
        PATH, "", "Where event files go; each run is a directory there.", "runs, in the working directory"
    )
    aim_repo: str = _is(
        URI,
        "",
        "Aim's repository: a directory, or a server such as aim://localhost:53800.",
        "the nearest .aim upwards from the working directory, or a new one there",
    )
    aim_artifacts_uri: str = _is(
        URI,
        "",
        "Where artifacts go that Aim links to: file:///… or s3://…",
        "below a local repository; with a server, nowhere",
    )
    aim_python: str = _is(
        PATH, "", "The interpreter that delivers to Aim, which has tracelet and aim.", "python"
    )
    clearml_api_host: str = _is(
        URI, "", "ClearML's API server, such as https://api.clear.ml.", "what ClearML itself finds"
    )
    clearml_web_host: str = _is(URI, "", "ClearML's web pages.", "beside the API server")
    clearml_files_host: str = _is(
        URI, "", "Where ClearML's files go: its file server, or a bucket, s3://…", "beside the API server"
    )
    durability: str = _is(
        DURABILITY,
        "process",
        'What a record survives: "process" any kill; "second" also a power failure, a second later; '
        '"record" one at once.',
    )
    relay: str = _is(
        RELAY, "process", 'Who delivers: a "process" of its own, or a "thread" of the training process.'
    )
    python: str = _is(PATH, "", "The interpreter of keeper and relays.", "the one that trains")
    nice: int = _is(
        NICENESS, 10, "How much keeper and relays leave the processor to others: 0, not at all, to 19."
    )
    stop_timeout: float = _is(
        DURATION,
        60.0,
        "How long the end of a run waits for deliveries that move, at most; for one that stands still, 20 s.",
    )
    linger: float = _is(
        DURATION, 600.0, "How long the keeper tries on after the end of a run while no delivery moves."
    )
    retention: float = _is(DURATION, 30 * 86400.0, "How long a delivered run stays on disk.")
    quiet: bool = _is(FLAG, False, "Print nothing but warnings: no start line, summary or progress bar.")
    sources: dict[str, str] = field(default_factory=dict[str, str])
    hyperparameters: dict[str, Any] = field(default_factory=dict[str, Any])
    dotenv: dict[str, str] = field(default_factory=dict[str, str], repr=False)  # it may hold secrets

    def of(self, backend: str) -> dict[str, str]:
        """Choose the texts that speak to one backend, without its name in front.

        What is not for the tracker itself, such as a timeout, is no text and not among them.
        """
        own = {name: getattr(self, name) for name in SETTINGS if name.startswith(f"{backend}_")}
        found = {
            name.removeprefix(f"{backend}_"): value
            for name, value in own.items()
            if isinstance(value, str) and value
        }
        return found | ({"backend_url": self.backend_url} if self.backend_url else {})


def _settings() -> Iterable[Setting]:
    defaults = Resolved()
    for one in fields(Resolved):
        if "setting" in one.metadata:
            kind, about, otherwise, in_config = one.metadata["setting"]
            yield Setting(
                name=one.name,
                kind=kind,
                default=getattr(defaults, one.name),
                about=about,
                otherwise=otherwise,
                in_config=in_config,
            )


SETTINGS: Final[Mapping[str, Setting]] = {setting.name: setting for setting in _settings()}
"""Every setting, by its name."""

CONFIG_KEYS: Final = frozenset(setting.name for setting in SETTINGS.values() if setting.in_config)
"""The keys of `config` that are settings; every other is a hyperparameter."""


def unknown(name: str, place: str = "") -> ConfigError:
    """Make the error for a name that is no setting, given in `place`."""
    where = f" in {place}" if place else ""
    listed = ", ".join(SETTINGS)
    return ConfigError(f"no setting called {name!r}{where}; there are {listed}.{suggestion(name, SETTINGS)}")
