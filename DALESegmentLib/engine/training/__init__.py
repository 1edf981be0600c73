"""The training loop, its sampler, callbacks, label refinement, checkpoints."""
