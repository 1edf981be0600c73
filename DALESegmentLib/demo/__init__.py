"""The demonstration: the whole job once, on a real image, with pictures."""
