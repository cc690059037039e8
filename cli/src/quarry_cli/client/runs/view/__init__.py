"""A run as people and scripts see it: one structure, from which `status`, `status --json`, `watch` and the page all speak.

Theory of operation. What was read goes in (`runs/reading.py` reads it), what is shown comes out, and everything here is
pure. The ledger's rows are read one after the other, so a count may be a moment older than its neighbour; none is ever
negative. A figure of a run is a field in `shown`, a function in the module of its subject, and its line in `build`:

| Module | What it works out |
| --- | --- |
| `counts` | rows, shards by state, slots |
| `jobs` | jobs, what Bedrock says of them, which are over |
| `money` | LLM tokens, dollars, the budget |
| `times` | how long it has taken, how fast it goes, when it ends |
| `holds` | why a run is held, what its canary came to |
| `places` | where its results are |
| `waiting` | whom it waits for |

`screen/wording.py` says each in words, and the page's templates show them.
"""
