"""What tasks and models have reported: documents that overwrite each other by their key.

The key is made of task, iter, metric, variant and key, whatever else a document holds, and each type
has an index of its own; so a point that comes again replaces the first one. A line of a log has no
key: it is there as often as it was sent.

A batch is taken in parts. An event that is refused by itself (an unknown type, no such task, a
published task, a number that is not finite) is counted in `errors` while the others are kept; if none
is kept the answer is 400. A scalar whose value is a text fails the whole batch with 500.
"""

import hashlib
import itertools
import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from time import time
from typing import Any, Final, TypeAlias

from tests.emulators.clearml.documents import now
from tests.emulators.clearml.refusals import Refusal, invalid, missing

SCALAR: Final = "training_stats_scalar"
PLOT: Final = "plot"
IMAGE: Final = "training_debug_image"
LOG: Final = "log"
TYPES: Final = (SCALAR, "training_stats_vector", PLOT, IMAGE, LOG)
SINGLE: Final = -(2**31)  # the iteration of a value that has none
MONITORS: Final = (":monitor:machine", ":monitor:gpu")
MOST: Final = 10_000  # documents in one answer; also what a total never exceeds
SAMPLES: Final = 2_000
MOST_METRICS: Final = 2_000  # metrics of which a task has the last values
_KEY: Final = ("task", "iter", "metric", "variant", "key")

Document: TypeAlias = dict[str, Any]
Owner: TypeAlias = Callable[[str, bool, bool], Document | None]
"""Find the task or model of an event, if it may be written to: id, whether a model, whether if locked."""


class Events:
    """The documents of all tasks and models."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.documents: dict[str, dict[str, dict[str, Document]]] = {}  # by task, type and key
        self._scrolls: dict[str, tuple[Iterator[Document], int]] = {}

    def of(self, task: str, type_: str) -> list[Document]:
        """List the documents of one type of a task, the oldest first."""
        found = self.documents.get(task, {}).get(type_, {}).values()
        return sorted(found, key=lambda event: event["timestamp"])

    def add(self, events: list[Document]) -> Document:
        """Take a batch, or what is good of it."""
        if not events:
            raise Refusal(400, 17, "Batch request contains no items")
        errors: Counter[str] = Counter()
        good = [event for event in events if self._accepted(event, errors)]
        for event in good:
            if event["type"] == SCALAR and not isinstance(event.get("value"), (int, float)):
                raise Refusal(500, 0, "General data error (value is no number)")
        kept = [event for event in good if _indexable(event, errors)]
        for event in kept:
            self._keep(event)
        if not kept:
            raise Refusal(400, 800, f"Failed adding events ({dict(errors)})", {"errors": dict(errors)})
        return {"added": len(kept), "errors": errors.total(), "errors_info": dict(errors)}

    def _accepted(self, event: Document, errors: Counter[str]) -> bool:
        type_, task = event.get("type"), event.get("task")
        model, locked = bool(event.get("model_event")), bool(event.get("allow_locked"))
        if type_ not in TYPES:
            errors[f"Invalid event type {type_}"] += 1
        elif not task:
            errors["Event must have a 'task' field"] += 1
        elif self._owner(task, model, locked) is None:
            errors[f"Invalid task id {task}"] += 1
        else:
            return True
        return False

    def _keep(self, event: Document) -> None:
        type_, task = event["type"], event["task"]
        document = {
            "timestamp": int(time() * 1000),
            "worker": "",
            "metric": "",
            "variant": "",
            "@timestamp": now(),
        }
        document |= {key: value for key, value in event.items() if key not in {"model_event", "allow_locked"}}
        if document.get("iter") is not None:
            document["iter"] = int(document["iter"])
        if type_ == PLOT:
            document["plot_len"] = len(str(document.get("plot_str", "")))
        key = uuid.uuid4().hex if type_ == LOG else _key(document)
        self.documents.setdefault(task, {}).setdefault(type_, {})[key] = document
        owner = self._owner(task, bool(event.get("model_event")), True)
        if owner is not None and type_ != LOG:
            _note_last(owner, document)

    def _page(self, find: Callable[[], list[Document]], size: int, scroll: str | None) -> Document:
        """Give the next documents of a scroll, or the first of a new one; and where to go on."""
        if size > MOST:
            raise invalid(f"batch_size is at most {MOST}")
        if scroll is None:
            scroll = uuid.uuid4().hex
            found = find()
            self._scrolls[scroll] = iter(found), min(len(found), MOST)
        elif scroll not in self._scrolls:
            raise invalid("the scroll has expired")
        rest, total = self._scrolls[scroll]
        part = list(itertools.islice(rest, size))
        return {"events": part, "returned": len(part), "total": total, "scroll_id": scroll}

    def get_task_events(self, query: Document) -> Document:
        """Give everything of one type, in parts."""
        if not query.get("event_type"):
            raise missing("event_type")

        def find() -> list[Document]:
            found = [event for event in self.of(query["task"], query["event_type"]) if _asked(event, query)]
            return found[::-1] if query.get("order") == "desc" else found

        return self._page(find, query.get("batch_size") or 500, query.get("scroll_id"))

    def get_task_log(self, query: Document) -> Document:
        """Give lines of the log, the latest first."""
        found = self.of(query["task"], LOG)
        if query.get("order") != "asc" and query.get("navigate_earlier", True):
            found.reverse()
        part = found[: query.get("batch_size") or 500]
        return {"events": part, "returned": len(part), "total": len(found)}

    def get_task_plots(self, query: Document) -> Document:
        """Give the plots of the last iterations of each metric and variant: one, or as many as asked."""
        plots = self.of(query["task"], PLOT)
        page = self._page(lambda: _latest(plots, query.get("iters") or 1), MOST, query.get("scroll_id"))
        return page | {"plots": page.pop("events")}

    def debug_images(self, query: Document) -> Document:
        """Give the debug samples of the last iterations of each metric and variant."""
        answers: list[Document] = []
        for asked in query.get("metrics") or []:
            found = [event for event in self.of(asked["task"], IMAGE) if _of_metric(event, asked)]
            # A scroll goes on where it ended, and all came at once: nothing is left for a second call.
            latest = [] if query.get("scroll_id") else _latest(found, query.get("iters") or 1)
            by_iter: defaultdict[int, list[Document]] = defaultdict(list)
            for event in latest:
                by_iter[event["iter"]].append(event)
            iterations = [
                {"iter": number, "events": by_iter[number]} for number in sorted(by_iter, reverse=True)
            ]
            answers.append({"task": asked["task"], "metric": asked.get("metric"), "iterations": iterations})
        return {"metrics": answers, "scroll_id": query.get("scroll_id") or uuid.uuid4().hex}

    def scalar_metrics_iter_histogram(self, query: Document) -> Document:
        """Give a sample of each curve: what falls into one of the intervals is one point, their mean."""
        samples = min(query.get("samples") or SAMPLES, 5000)
        axis = "iter" if query.get("key", "iter") == "iter" else "timestamp"
        answer: Document = {}
        for event in self.of(query["task"], SCALAR):
            if event["iter"] != SINGLE:
                curve = answer.setdefault(event["metric"], {}).setdefault(event["variant"], [])
                curve.append((event[axis], event["value"]))
        for metric, variants in answer.items():
            for variant, points in variants.items():
                x, y = _sampled(sorted(points), samples)
                answer[metric][variant] = {"name": variant, "x": x, "y": y}
        return answer

    def get_task_single_value_metrics(self, query: Document) -> Document:
        """Give the values that have no iteration."""
        fields = ("metric", "variant", "value", "timestamp")
        tasks = [
            {"task": task, "values": [{field: event[field] for field in fields} for event in found]}
            for task in query["tasks"]
            if (found := [event for event in self.of(task, SCALAR) if event["iter"] == SINGLE])
        ]
        return {"tasks": tasks}

    def get_task_metrics(self, query: Document) -> Document:
        """Name the metrics of one type that tasks have."""
        type_ = query.get("event_type") or SCALAR
        named = {task: sorted({event["metric"] for event in self.of(task, type_)}) for task in query["tasks"]}
        return {"metrics": [{"task": task, "metrics": metrics} for task, metrics in named.items()]}


def _latest(found: list[Document], count: int) -> list[Document]:
    iterations: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for event in found:
        iterations[event["metric"], event["variant"]].add(event["iter"])
    last = {pair: set(sorted(numbers)[-count:]) for pair, numbers in iterations.items()}
    return [event for event in found if event["iter"] in last[event["metric"], event["variant"]]]


def _key(event: Document) -> str:
    text = "-".join(str(event[name]) for name in _KEY if name in event)
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _indexable(event: Document, errors: Counter[str]) -> bool:
    """Refuse what the search engine would: a number that is not finite, an iteration too large."""
    value, iteration = event.get("value"), event.get("iter")
    if isinstance(value, float) and not math.isfinite(value):
        errors["mapper_parsing_exception: [float] supports only finite values"] += 1
    elif iteration is not None and not -(2**63) <= int(iteration) < 2**63:
        errors["iteration out of range"] += 1
    else:
        return True
    return False


def _asked(event: Document, query: Document) -> bool:
    metrics = query.get("metrics") or []
    return not metrics or any(_of_metric(event, asked) for asked in metrics)


def _of_metric(event: Document, asked: Document) -> bool:
    metric, variants = asked.get("metric"), asked.get("variants") or []
    return metric in {None, event["metric"]} and (not variants or event["variant"] in variants)


def _note_last(owner: Document, event: Document) -> None:
    iteration = event.get("iter") or 0
    if event["metric"] not in MONITORS and iteration != SINGLE:
        owner["last_iteration"] = max(owner.get("last_iteration") or 0, iteration)
    owner["last_update"] = now()
    if event["type"] != SCALAR:
        return
    names = [
        hashlib.md5(event[name].encode(), usedforsecurity=False).hexdigest() for name in ("metric", "variant")
    ]
    metrics: Document = owner.setdefault("last_metrics", {})
    if names[0] not in metrics and len(metrics) >= MOST_METRICS:
        return
    value, known = event["value"], metrics.setdefault(names[0], {}).get(names[1], {})
    if known and iteration < known["last_iteration"]:
        return
    metrics[names[0]][names[1]] = {
        "metric": event["metric"],
        "variant": event["variant"],
        "value": value,
        "min_value": min(value, known.get("min_value", value)),
        "max_value": max(value, known.get("max_value", value)),
        "last_iteration": iteration,
    }


def _sampled(points: list[tuple[float, float]], samples: int) -> tuple[list[float], list[float]]:
    low, high = points[0][0], points[-1][0]
    width = max(1, math.ceil((high - low + 1) / samples))
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for x, y in points:
        groups[int((x - low) // width)].append(y)
    return [low + group * width for group in groups], [sum(ys) / len(ys) for ys in groups.values()]
