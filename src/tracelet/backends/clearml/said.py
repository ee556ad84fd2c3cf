"""What a server or a file says, taken for what it should be; empty where it is something else."""

from typing import Any, cast


def mapping(said: Any) -> dict[str, Any]:
    """Return an object of JSON."""
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def items(said: Any) -> list[Any]:
    """Return a list of JSON."""
    return cast("list[Any]", said) if isinstance(said, list) else []


def objects(said: Any) -> list[dict[str, Any]]:
    """Return a list of objects of JSON."""
    return [cast("dict[str, Any]", one) for one in items(said) if isinstance(one, dict)]
