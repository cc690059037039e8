"""A simulated Hugging Face Hub: datasets on disk, which the real `huggingface_hub` reaches through `HF_ENDPOINT`.

It answers what a client needs to find a dataset's files at a commit and to read them: the dataset's description, its
tree, `resolve`, and behind a redirect to another origin the storage, whose addresses are signed and expire. It knows
nothing of Quarry's own code, so that both can be wrong only independently. It takes no uploads.

    guard -> http -> answers -> datasets (folders, commits, branches)
                 '-> storage (signed addresses, ranges)

`datasets` reads folders; `faults`, `access` and `ranges` decide and do no I/O.
"""
