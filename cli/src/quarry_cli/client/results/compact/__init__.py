"""`quarry compact`: the parts of a run merged into few large ones, which stand beside them in the bucket."""
