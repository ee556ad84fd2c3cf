"""The tags of a run in MLflow that mean something to it, or to us; the user's own are beside them."""

from typing import Final

UID: Final = "tracelet.uid"
"""Our id of the run."""
CLAIMED: Final = "tracelet.claimed"
"""The tag of a run whose id has reached us: `OPENED` until something is written to it, then `WRITTEN`."""
OPENED: Final = "opened"
WRITTEN: Final = "true"
GROUP: Final = "tracelet.group"
JOB_TYPE: Final = "tracelet.job_type"
OWN: Final = frozenset({UID, CLAIMED, GROUP, JOB_TYPE})
"""What a run is found by, and what is read back as the run's own: no user's."""
METRIC: Final = "tracelet.metric."
"""And a digest of a name: what is known of a metric, a `Definition` as JSON."""
SUMMARIES: Final = "tracelet.summaries."
"""And a number: which points we have made of other points, as JSON (see `summaries`)."""
RECORD: Final = "tracelet.record"
"""The tag of what a record has made beside the run: a registered model's version, a dataset's use."""

NOTE: Final = "mlflow.note.content"
PARENT: Final = "mlflow.parentRunId"
NAME: Final = "mlflow.runName"
IMAGES: Final = "mlflow.loggedImages"
"""By it MLflow's page knows that a run has images."""
TABLES: Final = "mlflow.loggedArtifacts"
"""By it MLflow's page and `mlflow.load_table` know a run's tables: a list, as JSON."""
