"""A script as a user of ClearML writes it, online or offline; prints the task's id, or its session."""

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from clearml import OutputModel, Task


def report(task: Task) -> None:
    logger = task.get_logger()
    for step in range(50):
        logger.report_scalar("train", "loss", value=1 / (step + 1), iteration=step)
        logger.report_scalar("train", "accuracy", value=step / 50, iteration=step)
    logger.report_single_value("best", 0.25)
    logger.report_image("picture", "one", iteration=3, image=np.full((8, 8, 3), 7, np.uint8))
    logger.report_media("sound", "one", iteration=1, stream=io.BytesIO(b"RIFF"), file_extension=".wav")
    logger.report_table("table", "one", iteration=1, table_plot=pd.DataFrame({"a": [1, 2]}))
    logger.report_histogram("histogram", "one", iteration=1, values=[1, 2, 3])
    logger.report_text("a line of the log")


def describe(task: Task) -> None:
    task.connect({"lr": 0.1, "net": {"layers": 3}}, name="hparams")
    task.set_user_properties(owner="somebody")
    task.connect_configuration({"depth": 2}, name="a configuration")
    task.upload_artifact("numbers", {"a": 1})
    Path("weights.bin").write_bytes(b"weights")
    task.upload_artifact("file", "weights.bin")
    if not Task.is_offline():  # it fails on models offline
        model = OutputModel(task=task, name="a model", framework="pytorch")
        model.update_weights("weights.bin", auto_delete_file=False)


def main() -> None:
    # Else the client starts git in a thread, and now and then that fork of a busy process never ends.
    Task.force_store_standalone_script()
    task: Task = Task.init(
        project_name="a project",
        task_name="a run",
        tags=["one", "two"],
        output_uri=True,
        auto_connect_frameworks=False,
        auto_resource_monitoring=False,
    )
    report(task)
    describe(task)
    session = f"{task.get_offline_mode_folder()}.zip" if Task.is_offline() else task.id
    task.close()
    sys.stdout.write(f"\nSAID {session}\n")


if __name__ == "__main__":
    main()
