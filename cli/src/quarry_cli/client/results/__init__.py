"""The rows of a run: read where they are, downloaded, counted, merged into few large parts, lent by links, told on one page."""
