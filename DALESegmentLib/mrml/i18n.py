"""Texts that users see, in their language: Slicer's translation where there is one, else as they are."""

from __future__ import annotations

try:
    from slicer.i18n import tr
except ImportError:  # the scene's classes alone, without the application

    def tr(text: str) -> str:
        return text


__all__ = ["tr"]
