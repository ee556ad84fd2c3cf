"""An emulator of ClearML's server, good enough for the unmodified client."""

from tests.emulators.clearml.server import ACCESS_KEY, SECRET_KEY, ClearML

__all__ = ["ACCESS_KEY", "SECRET_KEY", "ClearML"]
