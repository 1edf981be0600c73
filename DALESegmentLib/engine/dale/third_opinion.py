"""The image's own opinion where the label and the network disagree about an outline, and the outline drawn anew by it.

Where a network contradicts a label, either may be wrong, and the training alone cannot tell. A third witness can: how
the object looks in this very case. From the voxels that label and network agree about, well inside and well outside,
a logistic regression on the intensities, as they are and smoothed, gives every voxel the log-odds

    a = log P(intensities | inside) / P(intensities | outside),   each side counting as much,

and the outline that all three draw is where

    v a - STIFFNESS ((1 - v/2) d_label + (v/2) d_network) / r = 0,

d being signed distances in mm (negative inside), r the radius of the class's objects, and v in [0, 1] how far the image
is trusted. With v = 0 this is the outline as it was given. v is the product of

- how well the intensities tell the two sides apart in this case (`reliability`), and
- whether they side with the network where it contradicts the labels, in all cases together (`siding`).

It is 0 where the images would move nearly all outlines the same way (`one_way`): they show another edge then than the
annotators mean, as where a thin layer of a third tissue lies between inside and outside.

With good labels the image sides with them, nothing is drawn anew, and training stays what it is. A heuristic: where
objects look like what is around them, it has nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize, special

from ..cancel import checkpoint
from ..geometry.distance import bounding_box, signed_distance
from ..geometry.objects import object_radius

STIFFNESS = 6.0
"""Log-odds that move an outline by one radius."""
SURE, SURE_VOXELS = 0.1, 2.5
"""Radii or voxels, whichever is more, from both outlines, beyond which label and network are taken to be right."""
REACH, REACH_VOXELS = 0.5, 10.0
"""The same; what lies further outside has nothing to do with the object."""
NEAR = 0.15
"""Radii from the middle between both outlines, within which disputes are counted: where either may be right."""
SMOOTHED = (1.0, 2.0)
"""Voxels (of the finest spacing), by which the intensities are smoothed."""
FEW = 8
"""With fewer voxels inside or outside nothing can be learned of a case."""
LARGEST_LOG_ODDS = 5.0
PENALTY = 5.0
"""Weighs the squared weights, of features with unit variance, against the sum of the voxels' log-losses."""
RELIABLE = (0.90, 0.98)
"""Balanced accuracy at which a case's intensities begin to count, and at which they count in full."""
SIDING = (0.62, 0.72)
"""The same for `siding`."""
ONE_WAY, SLIGHTLY = 0.75, 0.1
"""Of the logs of the sizes' ratios: mean over spread, and mean, beyond which outlines are moved one way."""
FEWEST = 5
"""With fewer cases that say something nobody can tell whether they all say the same."""
DISPUTED = 100
"""Voxels in dispute either way, without which nobody can say whom the images side with."""
STEPS = np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, 42)
"""Of the log-odds, by which disputes are counted."""
_FITTED = 5000


@dataclass(frozen=True)
class Opinion:
    """Of one case about one class, on `box` of its grid.

    log_odds, label, network: (*box) float32, the last two signed distances in mm to the outlines; open: bool (*box),
    voxels that are of this class or background; radius: mm; reliability: 0 to 1; disputes: (2, len(STEPS) - 1), how
    many voxels the network alone and how many the label alone has inside, by log-odds.
    """

    value: int
    box: tuple[slice, ...]
    log_odds: np.ndarray
    label: np.ndarray
    network: np.ndarray
    open: np.ndarray
    radius: float
    reliability: float
    disputes: np.ndarray


def opinions(
    image: np.ndarray,
    label: np.ndarray,
    network: np.ndarray,
    sampling: Sequence[float],
    slice_axis: int | None = None,
) -> Iterator[Opinion]:
    """One for each class of the label that there are voxels to learn from of.

    image: (C, *grid); label, network: (*grid) classes; sampling: mm along the axes; slice_axis: of images whose slices
    are outlined one by one, each for itself.
    """
    for value in np.unique(label[label > 0]):
        opinion = _opinion(image, label, network, int(value), tuple(sampling), slice_axis)
        if opinion is not None:
            yield opinion


def siding(disputes: np.ndarray) -> float:
    """Whom the images side with: the chance that a voxel which the network alone has inside looks more like the inside
    than one which the label alone has inside. ½ where they side with nobody, or there are too few disputes; 0 where
    every dispute is decided for the label.

    disputes: as in `Opinion`, summed over cases, each weighed by its reliability.
    """
    if disputes.sum(1).min() < DISPUTED:
        return 0.5
    network, label = disputes / disputes.sum(1, keepdims=True)
    below = np.cumsum(label) - label / 2.0
    return float((network * below).sum())


def growth(label: np.ndarray, opinion: Opinion) -> float:
    """Log of the size drawn anew, the image trusted in full, over the size as given. label: (*grid) as given."""
    given = int((label[opinion.box] == opinion.value).sum())
    return float(np.log(max(int(drawn_anew(label, opinion, 1.0).sum()), 1) / given))


def one_way(growths: Sequence[float]) -> bool:
    """Whether nearly all outlines would be moved the same way, or too few are there to tell; growths: see `growth`, of
    the cases whose images have a say."""
    if len(growths) < FEWEST:
        return True
    mean, spread = float(np.mean(growths)), float(np.std(growths))
    return abs(mean) > max(ONE_WAY * spread, SLIGHTLY)


def trust(value: float, bounds: tuple[float, float]) -> float:
    """0 up to the first bound, 1 from the second."""
    return float(np.clip((value - bounds[0]) / (bounds[1] - bounds[0]), 0.0, 1.0))


def drawn_anew(label: np.ndarray, opinion: Opinion, image_trust: float) -> np.ndarray:
    """(*box) bool, the class by all three; what it had before where another class is. label: (*grid) as given."""
    v = image_trust * opinion.reliability
    distance = (1.0 - v / 2.0) * opinion.label + v / 2.0 * opinion.network
    inside = v * opinion.log_odds > STIFFNESS / opinion.radius * distance
    return np.where(opinion.open, inside, label[opinion.box] == opinion.value)


def _opinion(
    image: np.ndarray,
    label: np.ndarray,
    network: np.ndarray,
    value: int,
    sampling: tuple[float, ...],
    slice_axis: int | None,
) -> Opinion | None:
    drawn, found = label == value, network == value
    radius = object_radius(drawn, sampling, slice_axis)
    planes = tuple(np.inf if axis == slice_axis else step for axis, step in enumerate(sampling))
    finest = min(planes)
    sure, reach = max(SURE * radius, SURE_VOXELS * finest), max(REACH * radius, REACH_VOXELS * finest)
    margin = tuple(0 if np.isinf(step) else int(np.ceil(reach / step)) + 1 for step in planes)
    box = bounding_box(drawn, margin)
    assert box is not None
    checkpoint()
    ours = signed_distance(drawn[box], sampling, slice_axis)
    theirs = signed_distance(found[box], sampling, slice_axis)
    checkpoint()
    # where one of them has nothing at all, there is nothing to compare
    theirs = np.where(np.isfinite(theirs), theirs, ours)
    ours = np.where(np.isfinite(ours), ours, theirs)
    open_ = (label[box] == 0) | drawn[box]
    outer, inner = np.maximum(ours, theirs), np.minimum(ours, theirs)
    inside = outer < -sure
    inside = inside if inside.sum() >= FEW else outer < 0
    outside = (inner > sure) & (inner < reach) & open_
    if min(inside.sum(), outside.sum()) < FEW:
        return None
    features = _features(np.stack([channel[box] for channel in image]), planes)
    checkpoint()
    log_odds, accuracy = _log_odds(features, inside, outside)
    near = open_ & (np.abs(ours + theirs) < 2 * NEAR * radius)
    sides = (near & found[box] & ~drawn[box], near & drawn[box] & ~found[box])
    disputes = np.stack([np.histogram(log_odds[side], STEPS)[0] for side in sides])
    return Opinion(
        value,
        box,
        log_odds,
        ours.astype(np.float32),
        theirs.astype(np.float32),
        open_,
        radius,
        trust(accuracy, RELIABLE),
        disputes,
    )


def _features(image: np.ndarray, planes: tuple[float, ...]) -> np.ndarray:
    """(F, *box): every channel as it is, and smoothed; not across slices that are outlined one by one."""
    finest = min(planes)
    smoothed = [
        ndimage.gaussian_filter(image, (0.0, *(scale * finest / step for step in planes)), mode="nearest")
        for scale in SMOOTHED
    ]
    return np.concatenate([image, *smoothed])


def _log_odds(features: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, float]:
    """(*box) float32 and the balanced accuracy on what it was learned from."""
    sides = [_thinned(features[:, side]) for side in (inside, outside)]
    x, counts = np.concatenate(sides, axis=1), [side.shape[1] for side in sides]
    y = np.repeat([1.0, -1.0], counts)
    share = np.repeat([sum(counts) / (2 * n) for n in counts], counts)
    mean, spread = x.mean(1, keepdims=True), x.std(1, keepdims=True) + 1e-6
    z = np.concatenate([(x - mean) / spread, np.ones((1, x.shape[1]))])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = y * (weights @ z)
        slope = -share * y * special.expit(-margin)
        penalised = np.append(weights[:-1], 0.0)
        value = (share * np.logaddexp(0.0, -margin)).sum() + PENALTY * (penalised**2).sum()
        return float(value), z @ slope + 2.0 * PENALTY * penalised

    weights = optimize.minimize(loss, np.zeros(len(z)), jac=True, method="L-BFGS-B").x
    right = y * (weights @ z) > 0
    accuracy = 0.5 * (right[y > 0].mean() + right[y < 0].mean())
    slopes = weights[:-1] / spread[:, 0]
    odds = np.tensordot(slopes, features, 1) + weights[-1] - slopes @ mean[:, 0]
    return np.clip(odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS).astype(np.float32), float(accuracy)


def _thinned(values: np.ndarray) -> np.ndarray:
    """(F, N), N at most about _FITTED, evenly taken."""
    return values[:, :: max(1, values.shape[1] // _FITTED)]
