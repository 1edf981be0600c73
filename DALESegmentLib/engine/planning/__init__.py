"""How a data set is trained: plan, network, preprocessing."""
