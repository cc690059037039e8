"""Pools: the limit of each, set by hand or not, and who holds or waits for its slots."""
