"""Widgets, and the engine process seen from Qt. Never torch."""
