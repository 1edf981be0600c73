"""Finding, reading, checking and writing images, labels and lists of cases; no torch."""
