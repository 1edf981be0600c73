"""Measuring: agreement with a reference, label errors found, simulated annotators."""
