"""How a variant may lie in memory: placement, predicted speeds, load ways, and advice on quantizations."""
