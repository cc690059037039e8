"""Amazon Bedrock for `@task.llm_batch` of the common.ai provider, by way of Quarry.

A batch is a run: its requests become a JSONL file of OpenAI's form (`/v1/chat/completions`), which Quarry translates for
Converse, so every chat model on Bedrock is understood and a schema becomes Converse's own. `model_id` is written
`bedrock:<alias or model id>`. The connection is of the type `quarry` or `pydanticai`; its host names a profile of
`quarry config`, and nothing else of it is used: AWS's credentials are the worker's and the triggerer's own.

The run's id follows from the operator's key and from what is asked. So the orphan of a worker that died between sending and
noting is found by its name, and the same batch is never paid for twice.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from airflow.providers.common.ai.batch.base import (
    BatchAdapter,
    BatchState,
    ExtractedOutput,
    RawResultItem,
    SubmitResult,
)
from airflow.providers.common.ai.exceptions import LLMBatchLimitExceededError

from quarry_airflow import client
from quarry_airflow.ids import run_id_of_batch
from quarry_cli.client.runs.view.shown import RunView
from quarry_cli.client.submission.one_call import Asked
from quarry_cli.errors import NoResults, NoSuchRun
from quarry_core.contract.states import RunState

ATTEMPTS_MAX = 50
JOB_NAME_PREFIX = "airflow"
_STATUS: Mapping[str, Any] = {"CANCELLED": "cancelled", "FAILED": "failed"}
_ITEM: Mapping[str, Any] = {"EXPIRED": "expired", "CANCELLED": "cancelled"}


class BedrockBatchAdapter(BatchAdapter):  # type: ignore[misc]  # where the provider is not installed, it is unknown
    """See the module. `client` may be a Quarry client, for tests."""

    name: ClassVar[str] = "bedrock"
    conn_types: ClassVar[frozenset[str]] = frozenset({"quarry", "pydanticai"})
    # The provider has all requests in memory; these are the limits of its other adapters. Quarry itself takes more.
    max_requests: ClassVar[int] = 100_000
    max_payload_bytes: ClassVar[int] = 256_000_000
    # One run has one model.
    allows_per_request_model: ClassVar[bool] = False

    def __init__(self, *, api_key: str | None = None, base_url: str | None = None, client: Any | None = None) -> None:  # noqa: ARG002 the provider's form
        super().__init__()
        self._env = base_url or None
        self._given = client

    def _quarry(self) -> Any:
        return self._given if self._given is not None else client.open_client(self._env)

    def build_output_directive(self, spec: Any) -> dict[str, Any]:
        if not spec.is_structured:
            return {}
        schema = {"name": spec.schema_name, "schema": spec.json_schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def _lines(
        self,
        requests: list[Any],
        *,
        model: str,
        idempotency_key: str,
        output_spec: Any,
        system_prompt: str = "",
        max_tokens: int = 1024,
        request_params: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Iterator[bytes]:
        """Each request as a line, in their order."""
        directive = self.build_output_directive(output_spec)
        for index, request in enumerate(requests):
            bare = self.resolve_request_model(request.get("model"), default_bare_model=model, request_index=index)
            if bare != model:
                raise LLMBatchLimitExceededError(
                    f"Request {index} asks {bare!r}, and the batch {model!r}: one run has one model. Use one task for each model."
                )
            system = request.get("system_prompt") or system_prompt
            messages = [{"role": "system", "content": system}] if system else []
            body = {
                **(request_params or {}),
                **(request.get("params") or {}),
                "model": model,
                "messages": [*messages, {"role": "user", "content": request["prompt"]}],
                "max_tokens": request.get("max_tokens") or max_tokens,
                **directive,
            }
            line = {
                "custom_id": f"{idempotency_key}-{index}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def validate_requests(
        self, requests: list[Any], *, model: str, output_spec: Any, idempotency_key: str, **kwargs: Any
    ) -> None:
        self.check_custom_id_length(idempotency_key, len(requests))
        if len(requests) > self.max_requests:
            raise LLMBatchLimitExceededError(
                f"A batch takes at most {self.max_requests:,} requests, and these are {len(requests):,}: split them with .expand(), or "
                "use QuarryRunOperator, which takes files of any size."
            )
        size = 0
        asked = {"model": model, "idempotency_key": idempotency_key, "output_spec": output_spec}
        for index, line in enumerate(self._lines(requests, **asked, **kwargs)):
            size += len(line)
            if size > self.max_payload_bytes:
                raise LLMBatchLimitExceededError(
                    f"A batch takes at most {self.max_payload_bytes:,} bytes, which request {index + 1:,} of {len(requests):,} "
                    "passes: split them with .expand(), or use QuarryRunOperator, which takes files of any size."
                )

    def submit(
        self,
        requests: list[Any],
        *,
        model: str,
        idempotency_key: str,
        input_fingerprint: str,
        output_spec: Any,
        **kwargs: Any,
    ) -> SubmitResult:
        quarry = self._quarry()
        run_id = self._free(quarry, idempotency_key, input_fingerprint)
        with tempfile.TemporaryDirectory(prefix="quarry-batch-") as folder:
            file = Path(folder) / "requests.jsonl"
            with file.open("wb") as body:
                asked = {"model": model, "idempotency_key": idempotency_key, "output_spec": output_spec}
                body.writelines(self._lines(requests, **asked, **kwargs))
            fields = {
                "job_name_prefix": JOB_NAME_PREFIX,
                "request_format": "openai",
                "columns": ["custom_id"],
                "run_id": run_id,
            }
            quarry.send(Asked(sources=[str(file)], model=model, fields=fields))
        return SubmitResult(batch_id=run_id, provider_input_ref=None)

    def _free(self, quarry: Any, key: str, fingerprint: str) -> str:
        """The id to send under: that of the first run, unless it came to nothing and has to be sent anew."""
        for number in range(1, ATTEMPTS_MAX + 1):
            run_id = run_id_of_batch(key, fingerprint, number)
            view = _status(quarry, run_id)
            if view is None or view.state not in (RunState.FAILED, RunState.CANCELLED):
                return run_id
        raise LLMBatchLimitExceededError(f"{ATTEMPTS_MAX} runs of this batch have failed: quarry runs shows them")

    def get_batch(self, batch_id: str) -> BatchState:
        view = _status(self._quarry(), batch_id)
        if view is None:
            # Sent, and not read from the queue yet.
            return BatchState(status="in_progress", counts=None, error_message=None)
        cancelled, expired = (view.errors.get(code, 0) for code in ("CANCELLED", "EXPIRED"))
        counts = {
            "succeeded": view.rows.ok,
            "errored": max(0, view.rows.error - cancelled - expired),
            "expired": expired,
            "cancelled": cancelled,
        }
        if not view.state.terminal:
            return BatchState(status="in_progress", counts=counts, error_message=None)
        status = _STATUS.get(view.state.value, "completed")
        return BatchState(status=status, counts=counts, error_message=view.error if status == "failed" else None)

    def cancel_batch(self, batch_id: str) -> None:
        self._quarry().cancel(batch_id)

    def iter_results(self, batch_id: str) -> Iterator[RawResultItem]:
        columns = (
            "custom_id",
            "response",
            "status",
            "error_code",
            "error_message",
            "stop_reason",
            "input_tokens",
            "output_tokens",
        )
        quarry = self._quarry()
        view = quarry.status(batch_id)
        try:
            table = quarry.table(batch_id, columns=columns)
        except NoResults:
            # Cancelled before it had a plan: the provider counts what is not there as missing.
            return iter(())
        return (self._item(row, view.model_id) for batch in table.to_batches() for row in batch.to_pylist())

    @staticmethod
    def _item(row: Mapping[str, Any], model: str | None) -> RawResultItem:
        ok = row["status"] == "ok"
        tokens = {name: row[name] for name in ("input_tokens", "output_tokens") if row[name] is not None}
        code = row["error_code"]
        error = {"type": "errored", "message": row["error_message"] or "", "provider_code": code, "stage": "provider"}
        return RawResultItem(
            custom_id=row["custom_id"],
            index=int(row["custom_id"].rpartition("-")[2]),
            provider_status="success" if ok else _ITEM.get(code or "", "errored"),
            model=model if ok else None,
            usage=tokens or None,
            finish_reason=row["stop_reason"],
            error=None if ok else error,
            raw=row["response"],
        )

    def extract_output(self, raw: RawResultItem, spec: Any) -> ExtractedOutput:
        if not spec.is_structured:
            return ExtractedOutput(kind="text", text=raw.raw or None)
        return ExtractedOutput(kind="json_text", text=raw.raw) if raw.raw else ExtractedOutput(kind="absent")

    def find_orphaned_batch(self, idempotency_key: str, input_fingerprint: str, not_before: str) -> str | None:
        """By its name; the run must have been accepted at or after `not_before`. Raises what the client raises."""
        quarry = self._quarry()
        found = None
        for number in range(1, ATTEMPTS_MAX + 1):
            run_id = run_id_of_batch(idempotency_key, input_fingerprint, number)
            view = _status(quarry, run_id)
            if view is None:
                break
            if view.accepted_at and datetime.fromisoformat(view.accepted_at) >= datetime.fromisoformat(not_before):
                found = run_id
        return found

    def close(self) -> None:
        """Nothing is kept open between two calls."""


def _status(quarry: Any, run_id: str) -> RunView | None:
    try:
        view: RunView = quarry.status(run_id)
    except NoSuchRun:
        return None
    return view
