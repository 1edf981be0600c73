"""The engine process: JSON lines in and out, the jobs it runs, and its client."""
