"""Outlines that are offered to a reader: a suggested change, steps towards it, and what strokes ask for.

`label_with_change` is what a label becomes where the reader takes a change. Half-way there, the outline lies at the
mean of the two signed distances.

`segment_strokes` is a random walker with a prior (Grady, "Multilabel random walker image segmentation using prior
models", CVPR 2005). Of x, the chance that a walk from a voxel ends at a stroke for the inside before one for the
outside, it solves

    (L + γ I) x = γ p,    x = 1 and 0 on the strokes,

L being the Laplacian of the grid, whose weights fall with the difference in intensity. The prior p is a logistic
regression on the intensities, raw and smoothed, and the model's log-odds, fitted to the strokes and drawn towards the
model alone; without a model, on the intensities alone. Where there is no stroke for the outside, the faces of the box
are outside. γ makes the system well conditioned: conjugate gradients need a few dozen steps. scikit-image's
`random_walker` takes no prior.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage, optimize, special
from scipy.sparse import diags_array
from scipy.sparse.linalg import LinearOperator, cg

from ..core.errors import EngineError, checkpoint
from ..geometry.distance import Box, scaled_mm, signed_distance
from ..geometry.objects import object_radius
from .intensities import fit_intensities
from .suggestions import joined

EDGE_WEIGHT = 0.6
"""β: of the squared difference in intensity, over the image's mean squared difference between neighbours."""
LEAST_WEIGHT = 1e-4
"""Of an edge: every voxel is reached from somewhere."""
MODEL_WEIGHT, INTENSITY_WEIGHT = 0.2, 0.05
"""γ: of the prior with and without a model, where the edges of a voxel without contrast weigh 1 each. These and the
penalties are chosen on training cases of LIDC and hippocampus that no model learned from."""
STEPS = 60
"""Of conjugate gradients, at most."""
MODEL_ODDS = 4.0
"""Largest log-odds of the model: a stroke can contradict it."""
TOWARDS_MODEL = 0.3
"""Penalty of what a stroke makes of the weights, per squared unit."""
PENALTY, PENALTY_BESIDE_MODEL = 0.02, 0.5
"""The same of the intensities' weights, drawn towards none, without a model and with one, which knows them better than
a few strokes do."""
MOST_FITTED = 500
"""Voxels of either side that the weights are fitted to."""
SMOOTHING = 1.0
"""Voxels of the finest axis, of the smoothed intensities."""
LARGEST_BOX = 400_000
"""Voxels that are worked on at once: a quarter of a second on one core."""
REACH_MM = 25.0
"""Around the strokes, of the box."""
CORRECTED_RADIUS, LARGEST_REACH = 0.85, 1.6
"""Of the structure's radius, what stands for it in `corrected_by_strokes`, and how far from a stroke it changes, in
these."""


def label_with_change(
    label: np.ndarray, change: np.ndarray, value: int, spacing: Sequence[float], step: float = 1.0
) -> np.ndarray:
    """The label where some voxels get another class; (*grid), as `label`.

    label: (*grid) classes; change: (*grid) bool; value: their new class; spacing: mm along the array's axes; step: 1
    for all of the change, ½ for half-way, 0 for none.
    """
    changed = label.copy()
    change = change & (label != value)
    if step <= 0 or not change.any():
        return changed
    if step < 1:
        whose = value or int(np.bincount(label[change]).argmax())  # the outline of an object moves
        aim = np.where(change, value, label)
        inside = _between(label == whose, aim == whose, spacing, step)
        change &= inside == (aim == whose)
    changed[change] = value
    return changed


def _between(one: np.ndarray, other: np.ndarray, spacing: Sequence[float], step: float) -> np.ndarray:
    """The mask between two; where one of them is empty, the middle of the other, by its depth."""
    if one.any() and other.any():
        mean = (1 - step) * signed_distance(one, spacing) + step * signed_distance(other, spacing)
        return np.asarray(mean < 0)
    inward = signed_distance(one | other, spacing)
    return np.asarray(inward < (step if one.any() else 1 - step) * inward.min())


def stroke_box(strokes: np.ndarray, shape: Sequence[int], spacing: Sequence[float]) -> Box:
    """The part of an image that strokes are answered in: 25 mm around them, less where that is too large.

    strokes: (N, dims) indices along the array's axes. Raises EngineError("no-strokes").
    """
    if not len(strokes):
        raise EngineError("no-strokes", "Draw a stroke inside the structure first.")
    low, high = strokes.min(0), strokes.max(0)
    reach = scaled_mm(REACH_MM, spacing)
    while True:
        margin = np.ceil(reach / np.asarray(spacing)).astype(int)
        first, last = np.maximum(low - margin, 0), np.minimum(high + margin + 1, shape)
        if np.prod(last - first) <= LARGEST_BOX or reach < min(spacing):
            return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        reach *= 0.9


def segment_strokes(
    image: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    spacing: Sequence[float],
    probability: np.ndarray | None = None,
) -> np.ndarray:
    """What the strokes ask for, (*grid) bool.

    Args:
        image: (C, *grid), a part of an image; see `stroke_box`.
        inside, outside: (*grid) bool, voxels that were drawn over; `outside` may be empty.
        spacing: mm along the array's axes.
        probability: (*grid) in [0, 1], of the structure according to a model; None without one.

    Raises:
        EngineError: "no-strokes" where nothing was drawn for the inside.
    """
    if not inside.any():
        raise EngineError("no-strokes", "Draw a stroke inside the structure first.")
    outside = outside & ~inside
    image = _standardised(image)
    faces = _faces(inside.shape) & ~inside if not outside.any() else np.zeros(inside.shape, bool)
    checkpoint()
    prior = _prior(image, inside, outside, faces, spacing, probability)
    if probability is not None:
        faces[:] = False  # the model says where the structure ends
    known = inside | outside | faces
    checkpoint()
    weight = INTENSITY_WEIGHT if probability is None else MODEL_WEIGHT
    chance = _walk(image, known, inside, prior, weight, spacing)
    found = joined(chance > 0.5, inside)
    return (found | inside) & ~outside


def corrected_by_strokes(
    image: np.ndarray,
    label: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    spacing: Sequence[float],
    probability: np.ndarray | None = None,
) -> np.ndarray | None:
    """A structure that is drawn already, changed beside the strokes alone, (*grid) bool; None where it lies nowhere
    near them, and there is nothing to correct.

    A voxel that a stroke disputes changes where these log-odds are above 0 and above those of the strokes that say the
    opposite, with r the radius of the structure, d and u the distances to the stroke and to the structure's outline, m
    and i the log-odds of the stroke's side by the model and by the intensities, and b the difference in brightness, in
    standard deviations, from what was drawn over:

        4.3 - 11.2 d/r + 3.8 (d/r)² - 2.8 u/r + 0.8 m + 0.4 i - 0.45 b

    Fitted to strokes through simulated errors in training cases of LIDC and hippocampus that the models had not learned
    from. Args as in `segment_strokes`; label: (*grid) bool, the structure as it is drawn.
    """
    radius = CORRECTED_RADIUS * max(object_radius(label, spacing), 2 * min(spacing))
    away = {side: _away(strokes, spacing) for side, strokes in (("in", inside), ("out", outside & ~inside))}
    if not any((distance[label] < radius).any() for distance in away.values() if distance is not None):
        return None
    checkpoint()
    own, depth = _log_odds_of_class(image, label, spacing, probability), np.abs(signed_distance(label, spacing))
    bright = _standardised(image).mean(axis=0)
    bright = ndimage.gaussian_filter(bright, [SMOOTHING * min(spacing) / step for step in spacing], mode="nearest")
    checkpoint()
    odds = {}
    for side, sign, strokes, disputed in (("in", 1, inside, ~label), ("out", -1, outside & ~inside, label)):
        found = np.full(label.shape, -np.inf, np.float32)
        distance = away[side]
        if distance is not None:
            near = distance < LARGEST_REACH * radius
            d, u = distance[near] / radius, np.where(disputed[near], depth[near], 0) / radius
            b = np.abs(bright[near] - bright[strokes].mean())
            found[near] = 4.3 - 11.2 * d + 3.8 * d**2 - 2.8 * u + sign * own[near] - 0.45 * b
        odds[side] = found
    more, less = ~label & (odds["in"] > np.maximum(odds["out"], 0)), label & (odds["out"] > np.maximum(odds["in"], 0))
    return ((label | more) & ~less | inside) & ~(outside & ~inside)


def _away(strokes: np.ndarray, spacing: Sequence[float]) -> np.ndarray | None:
    """mm to the nearest voxel that was drawn over."""
    return np.asarray(ndimage.distance_transform_edt(~strokes, spacing), np.float32) if strokes.any() else None


def _log_odds_of_class(
    image: np.ndarray, label: np.ndarray, spacing: Sequence[float], probability: np.ndarray | None
) -> np.ndarray:
    """0.8 m + 0.4 i of `corrected_by_strokes`, of the inside."""
    found = np.zeros(label.shape, np.float32)
    model = fit_intensities(image, label.astype(np.uint8), np.ones(label.shape, bool), 1, 0, spacing)
    if model is not None:
        found += 0.4 * np.clip(model.log_odds(image, spacing), -MODEL_ODDS, MODEL_ODDS)
    if probability is not None:
        odds = special.logit(np.clip(np.asarray(probability, np.float32), 1e-4, 1 - 1e-4))
        found += 0.8 * np.clip(odds, -MODEL_ODDS, MODEL_ODDS)
    return found


def _standardised(image: np.ndarray) -> np.ndarray:
    """(C, *grid) float32 of mean 0 and deviation 1, without the extremes."""
    image = np.asarray(image, np.float32)
    low, high = np.percentile(image.reshape(len(image), -1)[:, ::7], [0.5, 99.5], axis=1)
    across = (slice(None), *(None,) * (image.ndim - 1))
    image = np.clip(image, low[across], high[across])
    spread = image.std(axis=tuple(range(1, image.ndim)), keepdims=True)
    return np.asarray((image - image.mean(axis=tuple(range(1, image.ndim)), keepdims=True)) / (spread + 1e-6))


def _faces(shape: Sequence[int]) -> np.ndarray:
    """Of a box, but across an axis of few voxels."""
    faces = np.ones(shape, bool)
    faces[tuple(slice(1, -1) if n > 4 else slice(None) for n in shape)] = False
    return faces


def _prior(
    image: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    faces: np.ndarray,
    spacing: Sequence[float],
    probability: np.ndarray | None,
) -> np.ndarray:
    """(*grid) float32: the chance of the inside by intensities and model."""
    sigma = [SMOOTHING * min(spacing) / step for step in spacing]
    smooth = np.stack([ndimage.gaussian_filter(channel, sigma, mode="nearest") for channel in image])
    features = [*smooth, *(-np.square(channel - channel[inside].mean()) for channel in smooth)]
    wanted = [0.0] * len(features)
    if probability is not None:
        odds = special.logit(np.clip(np.asarray(probability, np.float32), 1e-4, 1 - 1e-4))
        features.append(np.clip(odds, -MODEL_ODDS, MODEL_ODDS))
        wanted.append(1.0)
    stacked = np.stack(features)
    sides = [stacked[:, inside], stacked[:, outside if outside.any() else faces]]
    sides = [side[:, :: max(1, side.shape[1] // MOST_FITTED)] for side in sides]
    counts = [side.shape[1] for side in sides]
    x = np.concatenate([np.concatenate(sides, axis=1), np.ones((1, sum(counts)))])
    y = np.repeat([1.0, -1.0], counts)
    share = np.repeat([0.5 / max(count, 1) for count in counts], counts)
    aim = np.array([*wanted, 0.0])
    penalty = np.where(aim > 0, TOWARDS_MODEL, PENALTY if probability is None else PENALTY_BESIDE_MODEL)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (weights @ x)
        away = weights - aim
        value = (share * np.logaddexp(0.0, -margin)).sum() + (penalty * away**2).sum()
        return float(value), x @ (-share * y * special.expit(-margin)) + 2 * penalty * away

    weights = optimize.minimize(loss, aim, jac=True, method="L-BFGS-B").x.astype(np.float32)
    return np.asarray(special.expit(np.tensordot(weights[:-1], stacked, 1) + weights[-1]), np.float32)


def _walk(
    image: np.ndarray,
    known: np.ndarray,
    inside: np.ndarray,
    pull: np.ndarray,
    weight: float,
    spacing: Sequence[float],
    edges: float = EDGE_WEIGHT,
) -> np.ndarray:
    """x on the grid, by conjugate gradients. known: voxels where it is 1 or 0 by the strokes; pull: p; weight: γ;
    edges: β."""
    squares = [np.square(np.diff(image, axis=axis + 1)).mean(0) for axis in range(inside.ndim)]
    usual = float(np.mean([square.mean() for square in squares if square.size])) + 1e-6
    size, free, fixed = inside.size, ~known.ravel(), inside.ravel().astype(float)
    diagonal, right = np.full(size, weight), weight * pull.ravel().astype(float)
    bands: dict[int, np.ndarray] = {}
    for axis, square in enumerate(squares):
        edge = np.zeros(inside.shape)
        first = tuple(slice(0, -1) if a == axis else slice(None) for a in range(inside.ndim))
        edge[first] = (np.exp(-edges * square / usual) + LEAST_WEIGHT) * (min(spacing) / spacing[axis]) ** 2
        offset = int(np.prod(inside.shape[axis + 1 :]))
        joins = edge.ravel()[: size - offset]
        diagonal[:-offset] += joins
        diagonal[offset:] += joins
        right[offset:] += joins * fixed[:-offset]
        right[:-offset] += joins * fixed[offset:]
        bands[offset] = -joins * (free[:-offset] & free[offset:])
    offsets = [*bands, *(-offset for offset in bands)]
    laplacian = diags_array([diagonal, *bands.values(), *bands.values()], offsets=[0, *offsets], shape=(size, size))
    jacobi = LinearOperator((size, size), matvec=lambda vector: vector / diagonal)
    start = np.where(free, pull.ravel(), fixed)
    right = np.where(free, right, diagonal * fixed)
    x, _unfinished = cg(laplacian, right, x0=start, rtol=1e-3, maxiter=STEPS, M=jacobi)
    return np.asarray(x.reshape(inside.shape))
