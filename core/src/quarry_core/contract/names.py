"""Names: record ids, shard and job names, client tokens, S3 keys, queues. Pure functions, and each with its inverse.

Everything is named by what it is, never by chance: a name that can be computed again is what makes a repeated step
harmless. Bedrock's patterns are those of the contract, sections 1.2 and 4.1.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass

SHARD_MAX = 99_999
ROW_MAX = 999_999
JOB_NAME_CHARS_MAX = 63
ON_DEMAND_QUEUE = "on-demand"
QUEUES = ("manifests", "slices", "scheduler", "events", "collector", ON_DEMAND_QUEUE)
ENV_PATTERN = re.compile(r"[a-z0-9]{1,8}")
RUN_ID_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
RESULT_PREFIX_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
SHARD_PATTERN = re.compile(r"[0-9]{5}")


def shard_id(number: int) -> str:
    """Five digits. Planned shards have even numbers; the second half of a split one has the next odd number."""
    if not 0 <= number <= SHARD_MAX:
        raise ValueError(f"shard number {number} is outside 0 to {SHARD_MAX}")
    return f"{number:05d}"


def record_id(shard: str, row: int) -> str:
    """5 digits of shard + 6 digits of row in the shard: the strictest form AWS ever documented (contract 4.1)."""
    return f"{shard}{row:06d}"


def row_of(record: str, shard: str) -> int | None:
    """The row in the shard that a record id names, or None if it is not one of this shard's ids."""
    if len(record) != 11 or not record.startswith(shard) or not record.isascii() or not record.isdigit():
        return None
    return int(record[5:])


def version_id(run_id: str, number: int, *, taken: bool = False) -> str:
    """The id of the run that makes a version of another's dataset: `<run_id>-v<number>`, or 12 digits of a hash.

    Args:
        taken: a run has the readable id already, or it would be too long.
    """
    readable = f"{run_id}-v{number}"
    if RUN_ID_PATTERN.fullmatch(readable) and not taken:
        return readable
    return hashlib.sha256(f"{run_id}\n{number}".encode()).hexdigest()[:12]


# --------------------------------------------------------------------------- jobs


@dataclass(frozen=True, slots=True)
class JobName:
    run_id: str
    shard: str
    attempt: int
    env: str

    @property
    def holder(self) -> str:
        """What the pool's holder set says of this job's slot."""
        return f"{self.run_id}/{self.shard}/{self.attempt}"


def job_name(prefix: str, name: JobName) -> str:
    """`<prefix>-<run_id>-<shard>-<attempt>-<env>`, the prefix cleaned and cut to what is left of 63 characters.

    A hyphen inside the run id is written as a dot, which neither a run id nor a cleaned prefix has: so where the prefix
    ends and the run id begins is never a guess. Eleven characters or more are left for the prefix.
    """
    tail = f"-{name.run_id.replace('-', '.')}-{name.shard}-{name.attempt}-{name.env}"
    head = re.sub(r"[^a-zA-Z0-9]+", "-", prefix).strip("-")[: JOB_NAME_CHARS_MAX - len(tail)].rstrip("-")
    return (head or "quarry") + tail


_JOB_NAME = re.compile(
    r".+-(?P<run_id>[a-z0-9]([a-z0-9.]{0,30}[a-z0-9])?)-(?P<shard>[0-9]{5})-(?P<attempt>[0-9]{1,3})-(?P<env>[a-z0-9]{1,8})"
)


def parse_job_name(text: str, env: str) -> JobName | None:
    """Read a job name from the right; None if it is not of this environment."""
    match = _JOB_NAME.fullmatch(text)
    if match is None or match["env"] != env:
        return None
    return JobName(match["run_id"].replace(".", "-"), match["shard"], int(match["attempt"]), env)


def is_job_name(text: str) -> bool:
    """Whether some environment of Quarry would give a job this name."""
    return _JOB_NAME.fullmatch(text) is not None


def client_token(job: str) -> str:
    """32 hex digits of the job name's SHA-256: the same job is always asked for with the same token."""
    return hashlib.sha256(job.encode()).hexdigest()[:32]


# --------------------------------------------------------------------------- S3 keys


RESULTS = "results/"
# Where Quarry keeps what it works with; a source may lie anywhere else, and among earlier results.
_OWN_FOLDERS = ("again/", "batch-", "manifests/", "on-demand/", "outcomes/", "plans/", "prompts/", "rows/")


def in_own_folder(key: str) -> bool:
    """Whether a key of the environment's bucket is of Quarry's own working files. Results are none of them."""
    # S3 takes keys as they are; what stands in between may not.
    plain = posixpath.normpath(key).lstrip("/")
    return key.startswith(_OWN_FOLDERS) or plain.startswith(_OWN_FOLDERS)


def covers_own_folders(prefix: str) -> bool:
    """Whether keys of Quarry's own working files begin with a prefix: a listing of it would meet them."""
    return any(folder.startswith(prefix) for folder in _OWN_FOLDERS)


def input_key(run_id: str, shard: str) -> str:
    return f"batch-input/{run_id}/{shard}.jsonl"


def output_prefix(run_id: str, shard: str, attempt: int) -> str:
    return f"batch-output/{run_id}/{shard}-{attempt}/"


def on_demand_prefix(run_id: str, shard: str, attempt: int) -> str:
    """Where the answers lie that a shard's records were given on demand."""
    return f"on-demand/{run_id}/{shard}-{attempt}/"


def on_demand_key(run_id: str, shard: str, attempt: int, number: int) -> str:
    """The `number`-th checkpoint of a shard that is asked on demand; string order is their order."""
    return f"{on_demand_prefix(run_id, shard, attempt)}{number:05d}.jsonl"


def rows_key(run_id: str, shard: str) -> str:
    return f"rows/{run_id}/{shard}.parquet"


def unsent_key(run_id: str, shard: str) -> str:
    """Rows of a shard that could not be rendered, with their errors; stands only where there are any."""
    return f"rows/{run_id}/{shard}.unsent.jsonl"


def manifest_key(run_id: str) -> str:
    return f"plans/{run_id}/manifest.json"


def offsets_key(run_id: str, source: int) -> str:
    """The count of a source of one object, as release 0.1.0 wrote it."""
    return f"plans/{run_id}/count-{source}.json"


def listing_key(run_id: str) -> str:
    """The files of a source of several."""
    return f"plans/{run_id}/files.json"


def count_key(run_id: str) -> str:
    """What was counted of all files together."""
    return f"plans/{run_id}/count.json"


def counts_key(run_id: str, group: int) -> str:
    """What was counted of each of a group of files."""
    return f"plans/{run_id}/counts/{group:05d}.json"


def chosen_key(run_id: str, group: int) -> str:
    """How many rows are taken of each stretch of each of a group of files."""
    return f"plans/{run_id}/chosen/{group:05d}.json"


def spool_key(run_id: str, file: int, suffix: str) -> str:
    """A file of the source, decompressed or fetched from elsewhere; `suffix` is that of its format."""
    return f"rows/{run_id}/source-{file:05d}.{suffix}"


def plan_key(run_id: str) -> str:
    return f"plans/{run_id}.json"


def estimate_key(run_id: str) -> str:
    """What the plan was estimated to cost and to take, when it was made."""
    return f"plans/{run_id}/estimate.json"


def outcome_key(run_id: str, shard: str, attempt: int) -> str:
    return f"outcomes/{run_id}/{shard}-{attempt}.parquet"


def again_key(run_id: str, shard: str, attempt: int) -> str:
    """The lines of a settled shard's input that are asked again, as they were."""
    return f"again/{run_id}/{shard}-{attempt}.jsonl"


def round_key(run_id: str, number: int) -> str:
    """Which retry shards a round has."""
    return f"plans/{run_id}/round-{number}.json"


def retried_key(run_id: str, shard: str) -> str:
    """The record ids of a retry shard in the order of its input: its rows are known by nothing else."""
    return f"plans/{run_id}/retried/{shard}.txt"


def results_prefix(run_id: str) -> str:
    return f"results/{run_id}/"


def part_key(run_id: str, shard: str) -> str:
    return f"results/{run_id}/part-{shard}.parquet"


def report_key(run_id: str) -> str:
    return f"results/{run_id}/_report.json"


def report_page_key(run_id: str) -> str:
    """The report for people. Readers of tables skip names that begin with `_`."""
    return f"results/{run_id}/_report.html"


def success_key(run_id: str) -> str:
    return f"results/{run_id}/_SUCCESS"


# No run id has an underscore: this is the folder of no run.
COMPACT = f"{RESULTS}compact_parts/"


def compact_prefix(run_id: str) -> str:
    """Where the parts of a result stand once more, merged into larger ones."""
    return f"{COMPACT}{run_id}/"


def compact_part_key(run_id: str, number: int) -> str:
    """The `number`-th part of a compacted result, from 0; string order is row order."""
    return f"{COMPACT}{run_id}/part-{number:05d}.parquet"


def compact_plan_key(run_id: str) -> str:
    """Which parts are merged into which; the first plan that stands is the one that is followed."""
    return f"{COMPACT}{run_id}/_plan.json"


def compact_success_key(run_id: str) -> str:
    return f"{COMPACT}{run_id}/_SUCCESS"


def prompt_key(prompt_id: str) -> str:
    return f"prompts/{prompt_id}.yaml"


def s3_uri(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` as (bucket, key). Raises ValueError."""
    match = re.fullmatch(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])/(.+)", uri, re.DOTALL)
    if match is None:
        shaped = re.fullmatch("s3://([^/]+)/.+", uri, re.DOTALL)
        if shaped is not None:
            raise ValueError(f"{shaped[1]!r} is not a bucket name: bucket names have 3 to 63 of a-z, 0-9, '-' and '.'")
        raise ValueError(f"{uri!r} is not of the form s3://bucket/key")
    return match[1], match[2]


# --------------------------------------------------------------------------- queues


def queue_name(env: str, name: str) -> str:
    return f"{env}-quarry-{name}"


def dead_letter_queue_name(env: str, name: str) -> str:
    return f"{env}-quarry-{name}-dlq"


def queue_url_variable(name: str) -> str:
    """The environment variable that gives a queue's URL; the user's own queue is named for one manifest."""
    word = "MANIFEST" if name == "manifests" else name.upper().replace("-", "_")
    return f"QUARRY_{word}_QUEUE_URL"
