"""The collector: gives every record of an ended shard its outcome, joins it to its row, and ends runs."""
