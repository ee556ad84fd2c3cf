"""The specification's documents, their snippets, and what they left in MLflow."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import PIL.Image
    from mlflow import MlflowClient

    from tests.clients import Run

Running: TypeAlias = "Callable[[str], MlflowClient]"
Has: TypeAlias = "Callable[[str, str], list[Run]]"
"""Which runs a tracker has of a project, by its own client."""

START: Final = """\
import tracelet
tracelet.start_logging("r", "p", "mlflow")
exp = tracelet.get_active_experiment()
"""
STOP: Final = "\ntracelet.stop_logging()\n"


class Document:
    """One document of the specification, or what follows a heading in it.

    Args:
        name: Its file's name, without the suffix.
        text: Its text, if it is not the whole file.
    """

    def __init__(self, name: str, text: str = "") -> None:
        self._name = name
        self._text = text or (Path(__file__).parent / f"documents/{name}.md").read_text(encoding="utf-8")

    def section(self, heading: str) -> "Document":
        """Take what follows a heading."""
        return Document(self._name, self._below(heading))

    def _below(self, heading: str) -> str:
        return re.split(rf"^#+ {re.escape(heading)}$", self._text, maxsplit=1, flags=re.MULTILINE)[1]

    def snippets(self, heading: str) -> list[str]:
        """Take the Python snippets below a heading, up to the next one; of the first such heading."""
        # A comment in a snippet begins as a heading does.
        parts = re.split(r"^```python\n(.*?)^```$", self._below(heading), flags=re.MULTILINE | re.DOTALL)
        found: list[str] = []
        for prose, code in zip(parts[::2], parts[1::2], strict=False):
            if re.search(r"^#+ ", prose, re.MULTILINE) and found:
                break
            found.append(code)
        return found

    def snippet(self, heading: str) -> str:
        """Take the first Python snippet below a heading."""
        return self.snippets(heading)[0]


def only_run(client: "MlflowClient", project: str) -> Any:
    (run,) = all_runs(client, project)
    return run


def all_runs(client: "MlflowClient", project: str) -> list[Any]:
    experiment = client.get_experiment_by_name(project)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def images(client: "MlflowClient", run: Any, name: str) -> list[tuple[int, "PIL.Image.Image"]]:
    """Read the images of a name as MLflow's own page finds them, by the names of their files."""
    import PIL.Image

    assert run.data.tags["mlflow.loggedImages"] == "True"
    stem = f"images/{name.replace('/', '~')}+step+"
    found: list[tuple[int, PIL.Image.Image]] = []
    for file in client.list_artifacts(run.info.run_id, "images"):
        if file.path.startswith(stem) and file.path.endswith(".png"):
            with PIL.Image.open(client.download_artifacts(run.info.run_id, file.path)) as picture:
                found.append((int(file.path.removeprefix(stem).partition("+")[0]), picture.copy()))
    return sorted(found, key=lambda one: one[0])


def histograms(client: "MlflowClient", run: Any, name: str) -> list[tuple[int, dict[str, Any]]]:
    """Read the histograms of a name, by step."""
    files = [file.path for file in client.list_artifacts(run.info.run_id, f"histograms/{name}")]
    said = [json.loads(Path(client.download_artifacts(run.info.run_id, file)).read_bytes()) for file in files]
    return sorted(((one["step"], one) for one in said), key=lambda one: one[0])


def points(client: "MlflowClient", run: Any, name: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run.info.run_id, name)
    for point in history:
        assert run.info.start_time <= point.timestamp <= run.info.end_time
    return sorted((point.step, point.value) for point in history)
