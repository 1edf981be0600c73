"""The one error a user may ever see: a code for programs and a sentence for people."""

from __future__ import annotations


class EngineError(Exception):
    """Something the user can mend.

    `code` is short, stable and kebab-case ("geometry-mismatch"); `sentence` is one sentence that says what is
    wrong and what to do, in a clinician's words.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Cancelled(EngineError):
    """The user asked to stop. What was finished before stays on disk."""

    def __init__(self, sentence: str = "Cancelled; everything finished before is kept.") -> None:
        super().__init__("cancelled", sentence)


class SaidElsewhere(EngineError):
    """What another of the processes that train together has said already; this one ends with it in silence."""
