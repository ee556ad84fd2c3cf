"""`TraceletSettings`: the table of settings as a pydantic model.

Loaded only for those who use it: pydantic takes longer to import than all else that a start does.
"""

import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tracelet.errors import ConfigError
from tracelet.settings.resolving import survey
from tracelet.settings.table import PREFIX, SETTINGS, Resolved, Setting, unknown

if TYPE_CHECKING:

    class _Fields(BaseSettings):
        def __getattr__(self, name: str) -> Any: ...

else:

    def _field(setting: Setting, kind: Any) -> tuple[Any, Any]:
        more = {"enum": list(setting.kind.words)} if setting.kind.words else None
        about = setting.about + (f" If empty: {setting.otherwise}." if setting.otherwise else "")
        return kind, Field(default=setting.default, description=about, json_schema_extra=more)

    _kinds = {one.name: one.type for one in fields(Resolved)}
    _Fields = create_model(
        "_Fields",
        __base__=BaseSettings,
        **{name: _field(setting, _kinds[name]) for name, setting in SETTINGS.items()},
    )


class TraceletSettings(_Fields):
    """Settings in code: `start_logging(settings=TraceletSettings(project="x", backend="mlflow"))`.

    An attribute is what was given here, else what the environment, `.env` and the toml file say now,
    else the default. Only what was given here (`model_fields_set`, or assigned later) counts as
    `settings=`; the rest is looked up again when a run starts.

    Raises:
        ConfigError: A name is no setting, or a value does not fit; the message says what would.
    """

    model_config = SettingsConfigDict(extra="forbid", env_prefix=PREFIX)

    def __init__(self, **values: Any) -> None:
        given = {name: _parsed(name, value) for name, value in values.items()}
        try:
            found = survey(Path.cwd(), os.environ)
        except OSError as error:
            raise ConfigError(f"the working directory is gone ({error}); change to another") from None
        if found.errors:
            raise found.errors[0]
        super().__init__(**{**found.values, **given})
        # Else what was found would count as given, and beat stronger sources at the start.
        object.__setattr__(self, "__pydantic_fields_set__", set(given))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Ask no source of pydantic's own: ours have read theirs, with our names and messages."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def items(self) -> Iterable[tuple[str, Any]]:
        """Give the settings that were given here, with their values as they are understood."""
        held = vars(self)
        return [(name, held[name]) for name in held if name in self.model_fields_set]

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a setting, as if it had been given at the start."""
        super().__setattr__(name, value if name.startswith("_") else _parsed(name, value))

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what was given here, without credentials."""
        for name, value in self.items():
            yield name, SETTINGS[name].safe(value)


def _parsed(name: str, value: object) -> Any:
    if name not in SETTINGS:
        raise unknown(name)
    return SETTINGS[name].parse(value, "settings=")
