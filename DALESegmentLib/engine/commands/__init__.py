"""What the engine can be asked to do, one command a file: `run(parameters, progress) -> result`, JSON in and out."""
