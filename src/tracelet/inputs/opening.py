"""What structures are made of: mappings, dataclasses, models of pydantic, attrs and others.

They are known by what their classes have; no library is imported for it.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, MappingView, Sequence
from collections.abc import Set as AbstractSet
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

_MISSING: Final = "???"  # as OmegaConf writes a value that is still to be given


class Parts(NamedTuple):
    """A structure's names, and the way to what one of them holds; `get` may raise anything."""

    names: Iterable[Any]
    get: Callable[[Any], object]


class Entries(NamedTuple):
    """How many entries a sequence has, and what they are."""

    length: int
    all: Iterable[object]


def parts(value: Any) -> Parts | None:
    """Find the parts of a mapping, or of an object whose class declares its fields; None for others."""
    kind = cast("Any", type(value))
    if _is_one(value, "omegaconf", "DictConfig"):
        return _of_omegaconf(value, value.keys())
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        return Parts(mapping, mapping.__getitem__)
    for marks, names in _DECLARING:
        if all(hasattr(kind, mark) for mark in marks):
            return Parts(names(value), _reading(value))
    if isinstance(value, SimpleNamespace) or _is_one(value, "argparse", "Namespace"):
        return Parts(vars(value), vars(value).__getitem__)
    if hasattr(kind, "keys") and hasattr(kind, "__getitem__"):
        return Parts(value.keys(), value.__getitem__)  # whatever `dict` would take
    return None


def _reading(value: Any) -> Callable[[str], object]:
    # Reading a deprecated field of pydantic's as an attribute would warn the user.
    held = cast("dict[str, object]", vars(value) if hasattr(value, "__pydantic_fields_set__") else {})
    return lambda name: held[name] if name in held else getattr(value, name)


def _fields_of_dataclass(value: Any) -> list[str]:
    from dataclasses import fields  # who has one has loaded it

    return [str(field.name) for field in fields(value)]


def _fields_of_pydantic(value: Any) -> list[str]:
    """List what `model_dump` gives: no field with `exclude=True`, but computed and extra ones."""
    kind = cast("Any", type(value))
    declared: list[str] = [name for name, field in kind.model_fields.items() if field.exclude is not True]
    extra = cast("dict[str, object]", value.__pydantic_extra__ or {})
    computed = cast("dict[str, object]", kind.model_computed_fields)
    return [*declared, *computed, *extra]


_DECLARING: Final[tuple[tuple[tuple[str, ...], Callable[[Any], Iterable[str]]], ...]] = (
    (("__dataclass_fields__",), _fields_of_dataclass),
    (("model_fields", "model_computed_fields", "__pydantic_fields_set__"), _fields_of_pydantic),
    (("__fields__", "__fields_set__"), vars),  # pydantic 1
    (("__attrs_attrs__",), lambda value: [str(field.name) for field in value.__attrs_attrs__]),
    (("__struct_fields__", "__struct_config__"), lambda value: value.__struct_fields__),  # msgspec
    (("_fields", "_asdict"), lambda value: value._fields),  # NamedTuple
)
"""What a class has that declares fields, and how to list them."""


def _is_one(value: object, module: str, name: str) -> bool:
    """Tell whether a value is of a class of a module that perhaps nobody has imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _of_omegaconf(config: Any, names: Iterable[Any]) -> Parts:
    """Resolve what can be; what is missing or leads nowhere stays as it is written."""
    omegaconf = sys.modules["omegaconf"]

    def get(name: Any) -> object:
        try:
            return config[name]
        except omegaconf.errors.OmegaConfBaseException:
            raw = omegaconf.OmegaConf.to_container(config, resolve=False)
            return _MISSING if raw is None or isinstance(raw, str) else raw[name]

    return Parts(names, get)


def numbered(value: Any) -> Parts | None:
    """Find the parts of OmegaConf's lists, which can be a whole configuration; None for all else."""
    found = _is_one(value, "omegaconf", "Container") and isinstance(value, Sequence)
    return _of_omegaconf(value, range(len(cast("Any", value)))) if found else None


def as_list(value: Any) -> Any:
    """Make a list of OmegaConf's lists, which are none to a setting; all else stays what it is."""
    each = numbered(value)
    return value if each is None else [each.get(index) for index in each.names]


def attributes(value: object) -> Parts | None:
    """Find the public attributes of an object of any class; None if it has none."""
    own: dict[str, object] = {} if isinstance(value, type) else getattr(value, "__dict__", {})
    names = [name for name in own if not name.startswith("_")]
    return Parts(names, own.__getitem__) if names else None


def entries(value: Any) -> Entries | None:
    """Find what a sequence, or a view of a mapping, holds; None for all else, texts and sets too."""
    if each := numbered(value):
        return Entries(len(value), map(each.get, each.names))
    if isinstance(value, (range, str, bytes, bytearray, memoryview, set, frozenset)):
        return None
    if isinstance(value, (Sequence, AbstractSet, MappingView)):
        held = cast("Sequence[object]", value)
        return Entries(len(held), held)
    return None
