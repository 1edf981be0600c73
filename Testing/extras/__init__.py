"""Tests against programs that only they need: `make test-extras`."""
