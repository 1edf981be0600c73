"""Errors, cancelling, progress, files, locks, ranks, device, memory: what all other packages build on."""
