"""The cases a model was trained on, where they can still be found: a fine-tune replays them, to unlearn nothing."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..cases.source import CaseSource
from ..errors import EngineError
from ..learn.case_cache import CaseCache
from ..learn.plan import Plan
from ..learn.prepare import PreparedCase
from ..process.progress import Progress
from .parameters import CasesParameter
from .training import prepare_source

MOST = 40
"""More would not be seen in a fine-tune's few steps."""

Record = Mapping[str, Any]
"""`cases` as a run's record has them, and the names of those `training` was on."""


def records_of(run: Record) -> list[Record]:
    """Of a run.json: its own cases, and those of the runs before it, the newest first."""
    own = {key: run[key] for key in ("cases", "training") if key in run}
    return [*([own] if len(own) == 2 else []), *run.get("earlier", [])]


def find_earlier(records: Sequence[Record], known: Collection[str], seed: int) -> list[CaseSource]:
    """In an order that is drawn, without those whose names are known. What has gone or is damaged is passed over."""
    found: dict[str, CaseSource] = {}
    for record in records:
        with suppress(EngineError, ValidationError, OSError, TypeError):
            wanted = set(record["training"]) - set(known) - set(found)
            sources = CasesParameter.model_validate(record["cases"]).find_to_learn() if wanted else []
            found |= {source.name: source for source in sources if source.name in wanted}
    names = sorted(found)
    order = np.random.default_rng(seed).permutation(len(names))[:MOST]
    return [found[names[int(i)]] for i in order]


def prepare_earlier(
    sources: Sequence[CaseSource], plan: Plan, cache: CaseCache, until: float | None, progress: Progress
) -> list[PreparedCase]:
    """As many as can be read until then, on the monotonic clock."""
    cases: list[PreparedCase] = []
    for i, source in enumerate(sources):
        if until is not None and time.monotonic() >= until:
            break
        progress.report(100.0 * i / len(sources), "reading", f"Preparing earlier case {i + 1} of {len(sources)}")
        with suppress(EngineError, OSError):
            cases.append(cache.keep(prepare_source(source, plan, progress)))
    return cases
