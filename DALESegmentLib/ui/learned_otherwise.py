"""Why voxels were learned as they were, in sentences."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..engine.dale.issues import Region
from ..mrml.label_source import sourceName


def learnedOtherwise(item: dict[str, Any]) -> str:
    """ "1,203 voxels were learned otherwise than given: missed objects 1,100, annotator bias 103." of an answer's case;
    empty where there are none."""
    counts = item.get("learned_otherwise") or {}
    if not counts:
        return ""
    sources = ", ".join(f"{sourceName(source)} {count:,}" for source, count in counts.items())
    total = sum(counts.values())
    many = _("{count:,} voxels were learned otherwise than given: {sources}.").format(count=total, sources=sources)
    one = _("1 voxel was learned otherwise than given: {sources}.").format(sources=sources)
    return one if total == 1 else many


def whyLearned(region: Region) -> str:
    """ "Learned as lesion: missed objects proposed it (80 of 100 voxels)." Empty where it is not known."""
    source = region.label_source
    if not source:
        return ""
    if not region.learned_voxels:
        return _("Learned as given.")
    if region.learned_value is None:
        text = _("Not learned from: {source} rejected the label")
    elif source == "corrected":
        text = _("Learned as {name}: a reviewer corrected it")
    else:
        text = _("Learned as {name}: {source} proposed it")
    text = text.format(name=region.learned_class, source=sourceName(source))
    if region.learned_voxels == region.voxels:
        return f"{text}."
    share = _("({part:,} of {all:,} voxels)").format(part=region.learned_voxels, all=region.voxels)
    return f"{text} {share}."
