"""The id of a run, from the task that asks for it. Pure.

A task that is tried again asks for the same run: whoever sends a manifest twice with one run id gets one run. So the id is a
function of the task instance, and the text of the manifest has no part in it: a retry with another manifest is refused by name.
"""

from __future__ import annotations

import hashlib

ID_CHARS = 20


def run_id_of_task(dag_id: str, task_id: str, dag_run_id: str, map_index: int) -> str:
    """`af-` and 20 digits of a hash: the same for every try of a task instance, another for every other."""
    named = "\n".join((dag_id, task_id, dag_run_id, str(map_index)))
    return "af-" + hashlib.sha256(named.encode()).hexdigest()[:ID_CHARS]


def run_id_of_batch(idempotency_key: str, input_fingerprint: str, number: int) -> str:
    """Of a batch of the common.ai provider; `number` counts those that had to be sent anew, from 1."""
    named = f"{idempotency_key}\n{input_fingerprint}\n{number}"
    return "ab-" + hashlib.sha256(named.encode()).hexdigest()[:ID_CHARS]
