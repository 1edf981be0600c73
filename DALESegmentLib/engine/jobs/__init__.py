"""What the engine can be asked to do, one job a file: `run(parameters, progress) -> result`, JSON in and out."""
