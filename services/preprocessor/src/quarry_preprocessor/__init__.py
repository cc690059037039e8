"""The preprocessor: a manifest arrives, its rows are counted and planned, its shards are written."""
