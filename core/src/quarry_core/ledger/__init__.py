"""The ledger: the one place where the truth of every run, shard, job, slot and lane stands."""
