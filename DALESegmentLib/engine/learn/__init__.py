"""Learning: plan, network, prepared cases, training, prediction, bundle."""
