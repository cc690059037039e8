"""Ours beside other tools on the same work: `make bench` (see benchmarks/README.md)."""
