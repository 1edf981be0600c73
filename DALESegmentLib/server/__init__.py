"""One engine for a group: an HTTP server in front of engine processes. See docs/server.md."""
