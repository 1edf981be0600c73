"""Masks as shapes: distances in mm, boxes, connected objects and their sizes. numpy, scipy; no torch."""
