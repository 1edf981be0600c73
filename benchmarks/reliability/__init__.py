"""The promises about data, measured: what a crash costs, what bad input does, what gets out, what the figures miss."""
