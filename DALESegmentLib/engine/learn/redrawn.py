"""Labels as they would be had the hand that drew them not erred: what corrections show of it, said of all cases."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..review.hand import Hand, Reviewed, learn_hand, redraw
from .prepare import PreparedCase
from .remembered import Remembered


def recall_given(case: PreparedCase, remembered: Remembered | None) -> None:
    """Where the clinician has been, what the label was before is known from the runs the model comes from."""
    if remembered is not None and remembered.given.shape == case.label.shape:
        case.given = torch.where(case.trusted, remembered.given.to(case.label.dtype), case.label)


def learn_from(cases: Sequence[PreparedCase]) -> Hand | None:
    """What the trusted voxels of these cases show of the hand that drew them all; see `learn_hand`."""
    seen = [_reviewed(case) for case in cases if case.given is not None and bool(case.trusted.any())]
    return learn_hand(seen)


def redraw_case(case: PreparedCase, hand: Hand) -> None:
    """Redraw what nobody has corrected; `given` keeps the label as it was."""
    case.given = case.label if case.given is None else case.given
    redrawn = redraw(case.label.numpy(), hand, case.spacing, case.trusted.numpy())
    case.label = torch.from_numpy(redrawn).to(case.label.dtype)


def _reviewed(case: PreparedCase) -> Reviewed:
    assert case.given is not None
    return Reviewed(case.given.numpy(), case.label.numpy(), case.trusted.numpy(), case.spacing)
