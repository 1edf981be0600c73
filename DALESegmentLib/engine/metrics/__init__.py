"""Measures of segmentations and of label errors, and simulated annotators."""
