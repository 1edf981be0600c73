"""Objects that are missing in a label and that the network has learned to leave out, almost.

A network that is trained long on a label with a missing object learns that nothing is there. It stays a little less
sure than elsewhere. Where its probability of a class is at least 5 % in an object that looks like that class by its
intensities, touches nothing that is labelled and is not listed already, the object is listed as "missing". Such rows
have little expected to be wrong and so come after the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from ..core.errors import checkpoint
from ..geometry.distance import Box, bounding_box, margin_voxels, scaled_mm
from ..geometry.grid import Geometry
from ..geometry.objects import components
from .config import ReviewListConfig
from .issues import LabelIssue, Region, region_of
from .suggestions import intensity_model

DEFAULT = ReviewListConfig()
LEAST_PROBABILITY = 0.05
"""Mean, of the network, in such an object: chosen on training cases of LIDC and hippocampus, in 48 of which it finds
none that is not there, and on the practice case."""
LEAST_ODDS = 1.0
"""Of the intensities, smoothed by a voxel."""
LEAST_SHARE = 0.25
"""Of the smallest labelled object's voxels."""
MOST_LOOKED_AT = 20
"""Places of a class whose intensities are looked at, most probable first."""
AROUND_MM = 10.0
"""Of such a place."""


def find_missed_regions(
    case_name: str,
    regions: Sequence[Region],
    region_map: np.ndarray,
    label: np.ndarray,
    confidence: np.ndarray,
    probabilities: np.ndarray,
    image: np.ndarray,
    geometry: Geometry,
    class_names: Mapping[int, str],
    trusted: np.ndarray | None = None,
    class_values: Sequence[int] | None = None,
    config: ReviewListConfig = DEFAULT,
) -> list[Region]:
    """More regions of the case, which are entered into region_map; arrays as for `find_regions`, whose answer `regions`
    and `region_map` are; image: (C, *grid)."""
    values = range(len(probabilities)) if class_values is None else class_values
    number, found = int(region_map.max(initial=0)), []
    beside = ndimage.binary_dilation(label > 0)
    for index in np.unique(label[label > 0]).tolist():
        checkpoint()
        smallest = min(int(part.sum()) for _box, part in components(label == index))
        least = max(config.min_voxels, LEAST_SHARE * smallest)
        for box, mask in _objects(index, region_map, label, confidence, probabilities, image, geometry, beside):
            free = not (beside[box] & mask).any() and not (region_map[box][mask] > 0).any()
            probability = float(probabilities[index][box][mask].mean())
            if mask.sum() < least or probability < LEAST_PROBABILITY or not free:
                continue
            if trusted is not None and trusted[box][mask].any():
                continue
            number += 1
            region_map[box][mask] = number
            issue = _issue(index, box, mask, confidence, probabilities, geometry)
            found.append(region_of(number, case_name, issue, geometry, class_names, values))
    return found


def _objects(
    index: int,
    region_map: np.ndarray,
    label: np.ndarray,
    confidence: np.ndarray,
    probabilities: np.ndarray,
    image: np.ndarray,
    geometry: Geometry,
    beside: np.ndarray,
) -> list[tuple[Box, np.ndarray]]:
    """What looks like the class around the places where the network thinks of it."""
    spacing = geometry.array_spacing
    suspected = (probabilities[index] >= LEAST_PROBABILITY) & ~beside & (region_map == 0)
    parts, count = ndimage.label(suspected, np.ones((3,) * label.ndim))
    sums = ndimage.sum_labels(probabilities[index], parts, np.arange(1, count + 1))
    boxes = ndimage.find_objects(parts)
    model, objects = None, []
    taken = np.zeros(label.shape, bool)
    for part in np.argsort(-sums)[:MOST_LOOKED_AT].tolist():
        checkpoint()
        if (taken[boxes[part]] & (parts[boxes[part]] == part + 1)).any():
            continue
        if model is None:
            model = intensity_model(label, region_map, confidence, image, spacing, boxes[part], 0, index)
            if model is None:
                break
        margin = margin_voxels(scaled_mm(AROUND_MM, spacing), spacing)
        wide = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(boxes[part], margin, strict=True))
        odds = np.clip(model.log_odds(image[np.index_exp[:] + wide], spacing), -4.0, 4.0)
        sigma = [min(spacing) / step for step in spacing]
        alike = (ndimage.gaussian_filter(odds, sigma, mode="nearest") > LEAST_ODDS) & (label[wide] == 0)
        own, _ = ndimage.label(alike)
        ids = np.bincount(own[(parts[wide] == part + 1) & alike])
        if ids.size < 2:
            continue
        mask = own == int(ids[1:].argmax()) + 1
        taken[wide] |= mask
        objects.append((wide, mask))
    return objects


def _issue(
    index: int, box: Box, mask: np.ndarray, confidence: np.ndarray, probabilities: np.ndarray, geometry: Geometry
) -> LabelIssue:
    inner = bounding_box(mask)
    assert inner is not None
    where = np.argwhere(mask)
    middle = where.mean(0)
    centre = where[np.linalg.norm((where - middle) * geometry.array_spacing, axis=1).argmin()]
    quality = confidence[box][mask]
    return LabelIssue(
        suspicion="missing",
        label_class=index,
        given_class=0,
        suggested_class=index,
        voxels=len(where),
        volume_mm3=len(where) * geometry.voxel_volume,
        mean_quality=float(quality.mean()),
        lowest_quality=float(quality.min()),
        expected_wrong=float(probabilities[index][box][mask].sum()),
        centre=tuple(int(o.start + n) for o, n in zip(box, centre, strict=True)),
        slices=tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(box, inner, strict=True)),
        mask=mask[inner],
    )
