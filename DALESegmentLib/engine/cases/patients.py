"""Which cases are of one patient, so that no patient is both learned from and validated on."""

from __future__ import annotations

import re

from .source import CaseSource

_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


def patient_of(source: CaseSource) -> str:
    """The list's own word (column or key `patient`); else the subject of a name as BIDS has it (`sub-01_ses-2`); else
    the case is taken for a patient of its own."""
    subject = _SUBJECT.match(source.name)
    return source.patient or (subject[0] if subject else source.name)
