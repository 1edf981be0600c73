"""The engine process and its protocol of JSON lines, and engines on other machines."""
