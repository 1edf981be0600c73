"""Run folders and MONAI bundles: written, checked, read."""
