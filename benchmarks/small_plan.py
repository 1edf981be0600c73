"""The engine's plan for a set, with a network small enough for the tier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from DALESegmentLib.engine.planning.plan import CaseFingerprint, Plan, make_plan

from .data_set import DataSet
from .loading import Sample

_MULTIPLES = {"channels": 4, "filters": 4, "init_filters": 8}
"""How the number of filters is called, and what it must be a multiple of (SegResNet norms groups of 8)."""


def plan_for(samples: Sequence[Sample], wanted: DataSet, network: str, device: str) -> Plan:
    """Planned from the clean training cases, so that every method and every noise kind has the same network."""
    facts = [CaseFingerprint.of(s.case) for s in samples]
    plan = make_plan(facts, network=network, dims=wanted.dims, device=device, normalise=wanted.normalise)
    update: dict[str, Any] = {"network_arguments": slimmed(plan.network_arguments, wanted.slim, wanted.levels)}
    if wanted.batch:
        update["batch_size"] = wanted.batch
    return plan.model_copy(update=update)


def slimmed(arguments: dict[str, Any], share: float, levels: int = 0) -> dict[str, Any]:
    """A network's arguments with its filters cut to `share`, and to so many levels where `levels` is not 0."""
    out = dict(arguments)
    for name, multiple in _MULTIPLES.items():
        if name in out:
            widths = out[name] if isinstance(out[name], list) else [out[name]]
            cut = [max(multiple, round(w * share / multiple) * multiple) for w in widths]
            out[name] = cut if isinstance(out[name], list) else cut[0]
    if levels and "channels" in out:
        out["channels"], out["strides"] = out["channels"][:levels], out["strides"][: levels - 1]
    return out
