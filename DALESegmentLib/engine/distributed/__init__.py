"""Several processes that train one model together: who has which case, and what they tell each other."""
