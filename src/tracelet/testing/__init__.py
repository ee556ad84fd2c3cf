"""For the tests of whoever writes a backend or a capture: a contract to inherit, and real doubles.

    BackendContract   what every backend promises, as pytest classes: see `tracelet.testing.contract`
    ServerContract    the part of it that is about a server's bad days
    Server            how a test says where that server is
    MemoryBackend     a tracker in one file on disk: see `tracelet.testing.memory`
    FaultyBackend     the same tracker on a bad day: see `tracelet.testing.faulty`

Only the first three need pytest, and nothing is loaded before it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracelet.testing.contract import BackendContract, Server, ServerContract
    from tracelet.testing.faulty import BACKEND as FaultyBackend  # noqa: N811  a name for a value
    from tracelet.testing.memory import BACKEND as MemoryBackend  # noqa: N811

__all__ = ["BackendContract", "FaultyBackend", "MemoryBackend", "Server", "ServerContract"]


def __getattr__(name: str) -> Any:
    if name in {"BackendContract", "Server", "ServerContract"}:
        from tracelet.testing import contract

        return getattr(contract, name)
    if name in {"FaultyBackend", "MemoryBackend"}:
        from tracelet.testing import faulty, memory

        return faulty.BACKEND if name == "FaultyBackend" else memory.BACKEND
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
