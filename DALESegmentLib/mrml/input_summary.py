"""What the reader has chosen, in words, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.core.errors import EngineError
from .i18n import tr as _
from .segmentations import userSegmentIds
from .volumes import geometryFromVolume

MOST_NAMES = 6


@dataclass
class Facts:
    """Lines to show, and problems as sentences with what to do."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def describe(images: Sequence[Any], segmentation: Any = None) -> Facts:
    """Size, spacing and channels of the images (None for one that is not chosen), names of the segments."""
    facts = Facts()
    chosen = [image for image in images if image is not None]
    if not chosen:
        facts.problems.append(_("Choose the image to work on; load it first if there is none."))
        return facts
    _describeImages(chosen, facts)
    if segmentation is None:
        facts.problems.append(
            _("Choose a segmentation to judge and to learn from; an image alone can only be predicted.")
        )
    else:
        _describeSegments(segmentation, chosen[0], facts)
    return facts


def _describeImages(images: list[Any], facts: Facts) -> None:
    try:
        first = geometryFromVolume(images[0])
        size, spacing = (" × ".join(map(str, values)) for values in (first.size, [round(s, 2) for s in first.spacing]))
        channels = sum(image.GetImageData().GetNumberOfScalarComponents() for image in images if image.GetImageData())
        facts.lines.append(_("{size} voxels of {spacing} mm.").format(size=size, spacing=spacing))
        if channels > 1:
            facts.lines.append(_("Channels: {count}.").format(count=channels))
        for image in images[1:]:
            difference = first.difference(geometryFromVolume(image))
            if difference:
                text = _("“{image}” does not lie on the voxels of “{first}” ({why}); resample it to that image first.")
                facts.problems.append(text.format(image=image.GetName(), first=images[0].GetName(), why=difference))
    except EngineError as problem:
        facts.problems.append(problem.sentence)


def _describeSegments(node: Any, image: Any, facts: Facts) -> None:
    ids = userSegmentIds(node)
    names = [node.GetSegmentation().GetSegment(i).GetName() for i in ids]
    if not ids:
        facts.problems.append(
            _("“{name}” holds no segments; draw one in the Segment Editor.").format(name=node.GetName())
        )
        return
    shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    facts.lines.append(_("Segments: {count} ({names}).").format(count=len(names), names=shown))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        text = _("Several segments are called {names}; give each a name of its own.")
        facts.problems.append(text.format(names=", ".join(f"“{n}”" for n in twice)))
    if _apart(node, image):
        text = _("“{segmentation}” lies outside “{image}”; choose the pair that belongs together.")
        facts.problems.append(text.format(segmentation=node.GetName(), image=image.GetName()))


def _apart(segmentation: Any, image: Any) -> bool:
    """Whether the two have no common place."""
    boxes = []
    for node in (segmentation, image):
        box = [0.0] * 6
        node.GetRASBounds(box)
        boxes.append(box)
    (a, b) = boxes
    if a[0] > a[1]:  # all segments are empty
        return False
    return any(a[2 * n] > b[2 * n + 1] or b[2 * n] > a[2 * n + 1] for n in range(3))
