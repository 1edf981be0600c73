"""What the engine promises about time and memory, measured against a reference in the same run."""
