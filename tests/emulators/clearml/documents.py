"""What tasks, models and projects have in common: fields that are asked for, filters, pages.

A filter is what the server's `get_all` takes: `name` and `comment` are regular expressions; a list
of `tags` or `system_tags` matches any of them, and `-x` none that has x; any other field, `a.b`
too, is equal to the value or to one of a list.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, Final

from tests.emulators.clearml.refusals import invalid

PAGE: Final = 500  # documents; what one answer has at most
SHORTEST: Final = 3  # characters of a name
_NO_FILTERS: Final = {
    "_all_", "_any_", "allow_public", "include_stats", "only_fields", "order_by", "page", "page_size",
    "search_hidden", "search_text", "size", "scroll_id", "refresh_scroll", "include_subprojects",
    "stats_for_state", "shallow_search", "active_users", "check_own_contents",
}  # fmt: skip
_PATTERNS: Final = ("name", "comment", "basename")


def now() -> str:
    """Return this moment as the server writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def check_name(name: object, what: str) -> None:
    """Refuse a name that is too short."""
    if not isinstance(name, str) or len(name.strip()) < SHORTEST:
        text = f"{what} name cannot be blank" if what == "Project" else "error in field 'name'"
        raise invalid(f"{text}: String value is too short")


def value_at(document: dict[str, Any], path: str) -> Any:
    """Return the value below a dotted path; None if there is none."""
    found: Any = document
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set the value below a dotted path."""
    *places, last = path.split(".")
    for part in places:
        document = document.setdefault(part, {})
    document[last] = value


def select(documents: Iterable[dict[str, Any]], query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the documents that a query asks for: filtered, ordered, one page, only its fields."""
    found = [document for document in documents if _matches(document, query)]
    for order in reversed(query.get("order_by") or []):
        key = order.lstrip("-")
        found.sort(key=lambda document: str(value_at(document, key) or ""), reverse=order.startswith("-"))
    size = query.get("page_size") or query.get("size") or PAGE
    if size > PAGE:
        raise invalid(f"page_size is at most {PAGE}")
    start = (query.get("page") or 0) * size
    return [reduced(document, query.get("only_fields")) for document in found[start : start + size]]


def reduced(document: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    """Return a document with these fields only; with all if there are none."""
    if not fields:
        return document
    kept: dict[str, Any] = {"id": document["id"]}
    for path in fields:
        value = value_at(document, path)
        if value is not None:
            put(kept, path, value)
    return kept


def _matches(document: dict[str, Any], query: dict[str, Any]) -> bool:
    for mode, every in (("_any_", any), ("_all_", all)):
        pattern = query.get(mode)
        if pattern and not every(
            re.search(pattern["pattern"], str(value_at(document, path) or ""), re.IGNORECASE)
            for path in pattern["fields"]
        ):
            return False
    return all(
        _meets(value_at(document, path), path, wanted)
        for path, wanted in query.items()
        if path not in _NO_FILTERS and wanted is not None
    )


def _meets(value: Any, path: str, wanted: Any) -> bool:
    if path in _PATTERNS and isinstance(wanted, str):
        return re.search(wanted, value or "") is not None
    if path in {"tags", "system_tags"}:
        return _tagged(set(value or []), wanted)
    if not isinstance(wanted, list):
        return value == wanted
    return not wanted or value in wanted


def _tagged(tags: set[str], wanted: list[str]) -> bool:
    without = {tag[1:] for tag in wanted if tag.startswith("-")}
    having = {tag for tag in wanted if not tag.startswith(("-", "__$"))}
    every = "__$all" in wanted or "__$and" in wanted
    return not tags & without and (not having or (having <= tags if every else bool(tags & having)))
