"""Prediction: sliding window, whole cases and regions, confidence maps, measurements."""
