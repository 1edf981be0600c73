"""Labels as they would be had the hand that drew them not erred: what corrections show of it, said of all cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import Check, no_check
from ..review.hand import Hand, Reviewed, learn_hand, redraw
from .prepare import PreparedCase


def redraw_cases(cases: Sequence[PreparedCase], given: Mapping[str, Tensor], check: Check = no_check) -> Hand | None:
    """Redraw the untrusted labels of all cases where reviewed places nearly all say the same of the hand, else None.

    given: by case name, the label (x, y, z) before it was corrected. The hand is learned from the trusted voxels of
    these cases, and taken to have drawn the others as well.
    """
    hand = learn_hand((_reviewed(case, given[case.name]) for case in cases if _known(case, given)), check)
    if hand is None:
        return None
    for case in cases:
        check()
        redrawn = redraw(case.label.numpy(), hand, _sampling(case), case.trusted.numpy(), check)
        case.label = torch.from_numpy(redrawn).to(case.label.dtype)
    return hand


def _known(case: PreparedCase, given: Mapping[str, Tensor]) -> bool:
    before = given.get(case.name)
    return before is not None and before.shape == case.label.shape and bool(case.trusted.any())


def _reviewed(case: PreparedCase, before: Tensor) -> Reviewed:
    return Reviewed(before.numpy(), case.label.numpy(), case.trusted.numpy(), _sampling(case))


def _sampling(case: PreparedCase) -> tuple[float, ...]:
    """mm along the axes of the prepared grid."""
    return tuple(float(step) for step in case.affine[:3, :3].double().norm(dim=0))
