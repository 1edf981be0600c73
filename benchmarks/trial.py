"""What a cell's code does, tried on a made-up set, so that a cell's key follows it wherever the code lies.

A trial is a cell in miniature: the same method, network and kind of images, through the same reading, planning,
training and scoring, on one thread of the CPU. The bits of what comes out are hashed. What is called something else or
lies elsewhere does the same; what computes something else does not, be it a constant, a rule or a library.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .cell import Cell
from .data_set import Normalise
from .loading import load
from .noise import noisy_label
from .review_found import excess_doubt, review_order
from .review_peers import band_of, clasp_scores
from .scoring import REVIEWED, label_scores, score_labels, test_scores
from .training import Trained, train
from .trial_set import kind_of, trial_set, write_trial_set
from .user_path import USER_NETWORK, train_as_the_user

TRUSTED = 0.05
BEYOND_TRIALS = ("plain-stopped", "dale-not-stopped", "dale-no-volume-calibration", "dale-no-missed-objects")
"""Methods that differ from others in nothing that a trial is long or large enough for: a change of what they do without
is not noticed by any key, and such cells are to be trained anew by hand."""
BIASED = 0.5
"""Of the radius: enough that the trusted voxels show it."""


def behaviour(cell: Cell) -> dict[str, str]:
    """Hashes of what training, confidence, review list and scores of such a cell come to, and its annotator's label.

    All of it in pictures, where every part of a method has something to do; images of another kind are learned, too.
    """
    kind, normalise = kind_of(cell.data), cell.data.normalise
    if cell.path == "user":
        return {**_used(kind, cell.trained_as), "noise": _noise(kind, *cell.spoiled_by)}
    found = _behaviour(kind, normalise, cell.network, cell.trained_as, cell.trusted > 0)
    if cell.trained_as == "dale-cross-fitted":  # whose decision in the trial need not be the cell's
        always = _behaviour(kind, normalise, cell.network, "dale", cell.trusted > 0)
        found |= {f"always {part}": value for part, value in always.items()}
    if cell.trained_as in BEYOND_TRIALS:
        found["only"] = cell.trained_as
    return {**found, "noise": _noise(kind, *cell.spoiled_by)}


def _behaviour(kind: str, normalise: Normalise | None, network: str, method: str, trusted: bool) -> dict[str, str]:
    asked = (network, method, trusted)
    try:
        if kind == "pictures":
            return _tried(normalise, *asked)
        return _tried(None, *asked) | {kind: _trained(kind, normalise, *asked)}
    except Exception as error:  # a method that fails must not cost the others; the cell's own run shows the error
        return {"failed": f"{method}: {type(error).__name__}: {error}"}


def forget() -> None:
    """Try everything anew when it is asked for."""
    for known in (_tried, _trained, _used, _noise, _made_up, load):
        known.cache_clear()


def forget_noise() -> None:
    _noise.cache_clear()


@lru_cache(maxsize=1024)
def _tried(normalise: Normalise | None, network: str, method: str, trusted: bool) -> dict[str, str]:
    cell, folder = _in_miniature("pictures", normalise, network, method, trusted)
    with _alone():
        trained = train(cell, folder, "cpu")
        scored = [*score_labels(trained, cell)]
        figures = test_scores(trained.predictor, cell, folder) | label_scores(scored, cell)
    found = {"training": digest(_learned(trained)), "confidence": digest(j.confidence for j in scored)}
    if method in REVIEWED:
        ours = review_order(scored, [excess_doubt(j) for j in scored])
        found["review"] = digest([*ours, *clasp_scores(scored, [band_of(j) for j in scored], [0])])
    return found | {"scores": digest([np.array([*_numbers(figures)])])}


@lru_cache(maxsize=1024)
def _trained(kind: str, normalise: Normalise | None, network: str, method: str, trusted: bool) -> str:
    cell, folder = _in_miniature(kind, normalise, network, method, trusted)
    with _alone():
        return digest(_learned(train(cell, folder, "cpu")))


@lru_cache(maxsize=1024)
def _used(kind: str, method: str) -> dict[str, str]:
    """What the command `train` makes of such images, and how that is scored."""
    cell, data = _in_miniature(kind, None, USER_NETWORK, method, trusted=False)
    cell = cell.model_copy(update={"path": "user"})
    try:
        with _alone(), tempfile.TemporaryDirectory(prefix="user-path-") as folder:
            run = train_as_the_user(cell, data, Path(folder), "cpu")
            figures = test_scores(run.predictor, cell, data)
    except Exception as error:  # as in `_behaviour`
        return {"failed": f"{method}: {type(error).__name__}: {error}"}
    weights = digest(value.numpy() for value in run.predictor.network.state_dict().values())
    return {"training": weights, "scores": digest([np.array([*_numbers(figures)])])}


def _in_miniature(
    kind: str, normalise: Normalise | None, network: str, method: str, trusted: bool
) -> tuple[Cell, Path]:
    """The cell, and the folder of its set. Trusted voxels show a bias only where an annotator always errs alike."""
    cell = Cell(
        data=trial_set(kind, normalise, trusted),
        noise="biased" if trusted else "raters",
        level=BIASED if trusted else None,
        network=network,
        method=method,
        trusted=TRUSTED if trusted else 0.0,
        draw=0,
    )
    return cell, Path(_made_up(kind).name)


@lru_cache(maxsize=1024)
def _noise(kind: str, noise: str, level: float | None) -> str:
    samples = load(trial_set(kind, None), Path(_made_up(kind).name), "train", 0)
    return digest(noisy_label(sample, noise, level, seed) for sample in samples for seed in (0, 1))


@lru_cache
def _made_up(kind: str) -> tempfile.TemporaryDirectory[str]:
    """Holds the set as long as the process lives."""
    folder = tempfile.TemporaryDirectory(prefix="made-up-")
    write_trial_set(Path(folder.name), kind)
    return folder


@contextmanager
def _alone() -> Iterator[None]:
    """One thread, and afterwards everybody's chance and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _learned(trained: Trained) -> Iterator[np.ndarray]:
    """Weights; labels begun with and learned in the end; their disagreement."""
    yield from (value.numpy() for value in trained.predictor.network.state_dict().values())
    for case in trained.prepared:
        labels = case.labels
        yield from (each.numpy() for each in (labels.initial(), labels.target(), labels.disagreement, labels.seen))


def _numbers(figures: Any) -> Iterator[float]:
    """Every number in it, whatever it is called; nan for one that there is not."""
    if isinstance(figures, Mapping):
        figures = list(figures.values())
    if isinstance(figures, Sequence):
        for each in figures:
            yield from _numbers(each)
    else:
        yield float("nan") if figures is None else float(figures)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Of shapes and values, to the bit, not of how they are stored."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(str(array.shape).encode())
        total.update(np.ascontiguousarray(array, np.float64).tobytes())
    return total.hexdigest()[:16]
