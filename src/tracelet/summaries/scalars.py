"""Scalars that a writer is given together, and hyperparameters.

`add_scalar` itself stands in each capture: it has no time for a function more.
"""

import time
from typing import TYPE_CHECKING, Any

from tracelet.summaries import hosting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracelet.summaries.listening import Listening


def add_scalars(
    to: "Listening",
    writer: Any,
    main_tag: str,
    tag_scalar_dict: "Mapping[str, Any]",
    global_step: Any = None,
    walltime: float | None = None,
) -> None:
    """Record a scalar for each entry, called `main_tag/tag`, all of one time."""
    step, when = to.moment(writer, global_step, walltime)
    now = time.time() if when is None else when
    for tag, value in tag_scalar_dict.items():
        _scalar(to, to.name(writer, (main_tag, tag)), value, step, now)


def hparams(
    to: "Listening",
    writer: Any,
    hparam_dict: "Mapping[str, Any]",
    metric_dict: "Mapping[str, Any]",
    global_step: Any,
) -> None:
    """Record params, and scalars under their own names.

    What the library does for it inside, with another writer in another directory, is not heard.
    """
    step, when = to.moment(writer, global_step, None)
    now = time.time() if when is None else when
    params = {to.name(writer, key, "param"): hosting.param(value) for key, value in hparam_dict.items()}
    if params:
        to.experiment.log_params(params)
    for tag, value in metric_dict.items():
        _scalar(to, to.name(writer, tag), value, step, now)


def _scalar(to: "Listening", name: str, value: object, step: object, when: float) -> None:
    number = hosting.number(value)
    if number is not None:
        to.experiment.scalar(name, number, step, when)
