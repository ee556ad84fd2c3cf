"""How the server says no."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Refusal(Exception):
    """An answer other than 200, worded as the server words it."""

    code: int
    subcode: int
    message: str
    data: dict[str, Any] = field(default_factory=dict)


def invalid(text: str) -> Refusal:
    """Return what a request is told that does not validate."""
    return Refusal(400, 12, f"Validation error ({text})")


def missing(field_name: str) -> Refusal:
    """Return what a request is told that lacks a field."""
    return Refusal(400, 11, f"Missing required fields ({field_name})")


def unknown(kind: str, id_: object) -> Refusal:
    """Return what a request is told that names a task, model or project that is not there."""
    subcode = {"task": 101, "model": 201, "project": 401}[kind]
    return Refusal(400, subcode, f"Invalid {kind} id: id={id_}")
