"""Numbers from repeated calls: quantiles, medians over rounds, and work to do between calls."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from bench.table import Check

clock: Final = time.perf_counter_ns


class Contestant(NamedTuple):
    """A call to be timed. Its arguments are made before the clock starts, from the call's number."""

    name: str
    call: Callable[..., object]
    arguments: Callable[[int], tuple[Any, ...]]


def quantile(values: Sequence[float], share: float) -> float:
    """Find the value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def check(what: str, figures: Sequence[float], target: float, *, at_least: bool = False) -> Check:
    """Hold the median of what each round gave against a target."""
    return Check(what, statistics.median(figures), target, min(figures), max(figures), at_least)


def timed(contestant: Contestant, number: int) -> int:
    """Make one call and return its nanoseconds: the same few steps around every contestant."""
    call, arguments = contestant.call, contestant.arguments(number)
    began = clock()
    call(*arguments)
    return clock() - began


def paced(contestants: Sequence[Contestant], calls: range, work: Callable[[], None]) -> dict[str, list[int]]:
    """Time calls in turn, with work before each, in an order that is drawn for each turn."""
    draw = random.Random(calls.start)  # nobody always follows the same one
    order = list(contestants)
    took: dict[str, list[int]] = {contestant.name: [] for contestant in contestants}
    for number in calls:
        draw.shuffle(order)
        for contestant in order:
            work()
            took[contestant.name].append(timed(contestant, number))
    return took


def torch_work(seconds: float) -> Callable[[], None]:
    """Make a function that multiplies matrices on one thread for about so long."""
    import torch

    torch.set_num_threads(1)
    left, right, out = torch.rand(96, 96), torch.rand(96, 96), torch.empty(96, 96)

    def multiply(times: int) -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    multiply(1000)  # the first calls are slow
    began = clock()
    multiply(1000)
    times = max(1, round(seconds * 1e9 / ((clock() - began) / 1000)))
    return lambda: multiply(times)


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, list[str]]]:
    """Give each round's number and its order: each comes first as often as the others."""
    for number in range(rounds):
        first = number % len(names)
        yield number, [*names[first:], *names[:first]]
