"""A training's history, written where people look for it: metrics.csv always, TensorBoard or MLflow if asked.

Scalars are called as in the history: loss, validation_dice, ...; the step is the epoch.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..bundle.run_folder import METRICS_FILE, MLFLOW_FOLDER, TENSORBOARD_FOLDER
from ..core.errors import EngineError
from ..core.files import replacing
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

Logger = Literal["tensorboard", "mlflow"]
Write = Callable[[int, dict[str, float]], None]


def check_logger(logger: Logger | None) -> None:
    """Raises EngineError("package-missing")."""
    if logger is not None and find_spec(logger) is None:
        raise EngineError(
            "package-missing",
            f"The log for {logger} needs the Python package {logger}; type pip install 'dalesegment[{logger}]', or "
            "leave --logger out (metrics.csv is always written).",
        )


class RunLog(Callback):
    """folder: of the run, which the first rank writes to."""

    def __init__(self, folder: Path, logger: Logger | None = None) -> None:
        self.folder = folder
        self.logger = logger
        self._logged: set[tuple[int, str]] = set()
        self._write: Write | None = None
        self._close: Callable[[], Any] = lambda: None

    def on_fit_start(self, trainer: Trainer) -> None:
        self._logged = {(row["epoch"], name) for row in trainer.history for name in row}
        if trainer.ranks.is_main and self.logger is not None:
            start = {"tensorboard": self._tensorboard, "mlflow": self._mlflow}[self.logger]
            start(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._log(trainer)

    def on_start_over(self, trainer: Trainer) -> None:
        self._logged.clear()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._log(trainer)
        self._close()

    def _log(self, trainer: Trainer) -> None:
        if not trainer.ranks.is_main or not trainer.history:
            return
        write_metrics(self.folder / METRICS_FILE, trainer.history)
        for row in trainer.history if self._write is not None else ():
            fresh = {
                name: float(value)
                for name, value in row.items()
                if name != "epoch" and isinstance(value, (int, float)) and (row["epoch"], name) not in self._logged
            }
            if fresh and self._write is not None:
                self._write(row["epoch"], fresh)
                self._logged |= {(row["epoch"], name) for name in fresh}

    def _tensorboard(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(  # type: ignore[no-untyped-call]
            str(self.folder / TENSORBOARD_FOLDER), purge_step=len(trainer.history) + 1
        )

        def write(epoch: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
            writer.flush()  # type: ignore[no-untyped-call]

        self._write, self._close = write, writer.close

    def _mlflow(self, trainer: Trainer) -> None:
        """A file store in the run folder; a run that is resumed goes on with its own."""
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a database is not there on every machine
        client = MlflowClient((self.folder / MLFLOW_FOLDER).resolve().as_uri())
        name = self.folder.resolve().name
        known = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if known is None else known.experiment_id
        found = client.search_runs([experiment], max_results=1)
        if found:
            run = found[0].info.run_id
        else:
            run = client.create_run(experiment, run_name=name).info.run_id
            asked = trainer.settings.model_dump(
                include={"method", "epochs", "steps_per_epoch", "seed", "learning_rate"}
            )
            for key, value in {**asked, "network": trainer.plan.network}.items():
                client.log_param(run, key, value)

        def write(epoch: int, values: dict[str, float]) -> None:
            client.log_batch(run, [Metric(key, value, 0, epoch) for key, value in values.items()])

        self._write, self._close = write, lambda: client.set_terminated(run)


def write_metrics(path: Path, history: list[dict[str, Any]]) -> None:
    """A row an epoch; what an epoch does not have is left empty."""
    columns = list(dict.fromkeys(["epoch", "loss", *(name for row in history for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
