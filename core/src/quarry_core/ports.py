"""The ports to the outside: what a handler may ask of AWS, the clock and the machine.

A handler sees these protocols and never a client, a thread, a socket or a file. Each port has one adapter for AWS,
one fake in `tests/world`, and one contract suite that both pass. Every method may raise a `PortError`
(`quarry_core.errors`); those named under *Raises* are answers that the caller must expect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

T = TypeVar("T")

# --------------------------------------------------------------------------- Queue


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one SQS message."""

    id: str
    body: str
    receipt: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    receive_count: int = 1
    sent_at_ms: int = 0
    sender: str = ""  # AIDA… of a user, AROA…:session of a role, as SQS knows who sent it; empty: not told


class Queue(Protocol):
    """One SQS queue with its dead-letter queue."""

    name: str

    async def receive(self, most: int, wait_s: int) -> Sequence[Message]:
        """Take up to `most` (at most 10) messages, waiting up to `wait_s` (at most 20) for the first."""
        ...

    async def send(
        self, body: str, attributes: Mapping[str, str] | None = None, delay_s: int = 0, *, group: str = ""
    ) -> str:
        """Put one message on the queue and give its message id.

        Args:
            group: on whose behalf: SQS shares its deliveries out among groups (fair queues), so that one with many messages
                delays none with few. Empty: nobody's.
        """
        ...

    async def ack(self, message: Message) -> None:
        """Delete the message: its effect is durable."""
        ...

    async def ack_all(self, messages: Sequence[Message]) -> None:
        """Delete up to 10 messages by one request. When one cannot be deleted, the others are, and its error is raised."""
        ...

    async def extend(self, message: Message, visibility_s: int) -> None:
        """Keep the message invisible for `visibility_s` from now; 0 hands it back at once."""
        ...

    async def dead_letter(self, message: Message, reason: str, step: str) -> None:
        """Send the message to the dead-letter queue with its reason. The caller acks afterwards."""
        ...

    async def backlog(self) -> int:
        """Count the messages that are on the queue, visible, in flight or delayed (approximate, one request)."""
        ...

    async def depth(self) -> Mapping[str, int]:
        """Count messages by state: `visible`, `in_flight`, `delayed` (approximate, SQS's own word), `dead`."""
        ...


# --------------------------------------------------------------------------- Table

Item = Mapping[str, Any]  # str, int, bool, None, list, dict, and set[str] for string sets
Key = tuple[str, str]  # (pk, sk)


@dataclass(frozen=True, slots=True)
class Cond:
    """One premise of a write. `op`: eq, ne, lt, ge, absent, exists, contains, lacks; `lt` takes a value or an attribute.

    DynamoDB conditions know no arithmetic, so neither does this.
    """

    attribute: str
    op: str
    value: Any = None
    other: str | None = None  # compare with this attribute instead of `value`


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole new item, on the premise that none stands there."""

    key: Key
    item: Item


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an item that stands there, on the premises in `when` (never empty)."""

    key: Key
    when: tuple[Cond, ...]
    set: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    insert: Mapping[str, str] = field(default_factory=dict)  # attribute -> member put into a string set
    discard: Mapping[str, str] = field(default_factory=dict)  # attribute -> member taken out of a string set
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item, on the premise that it stands there and on those in `when`."""

    key: Key
    when: tuple[Cond, ...] = ()


Write = Put | Update | Delete


class Table(Protocol):
    """The ledger's table: consistent reads, and writes that repeat their premise."""

    async def get(self, key: Key) -> Item | None:
        """Read one item, consistently."""
        ...

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Item]:
        """Read up to 500 items, consistently; absent ones are left out."""
        ...

    async def query(
        self, pk: str, prefix: str = "", *, most: int, after: str | None = None, backwards: bool = False
    ) -> Sequence[Item]:
        """Read up to `most` items of a partition whose sk begins with `prefix`, in sk order, from behind `after`."""
        ...

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none (at most 100).

        Raises:
            Stale: a premise did not hold; nothing was written.
            Throttled: contended or throttled for longer than the adapter's own retries.
            Unknown: the reply was lost.
        """
        ...


# --------------------------------------------------------------------------- Objects


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An S3 object, pinned where `version_id` or `etag` are given. An empty bucket means the environment's own.

    Attributes:
        owner: the account that must own the bucket, 12 digits; S3 refuses every read if another does.
        size_bytes: of the pinned object, where it is known; then nobody asks for it.
    """

    key: str
    bucket: str = ""
    etag: str | None = None
    version_id: str | None = None
    owner: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Upload(Protocol):
    """A write-once object in the making; nothing is visible before `commit`."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; blocks while the one upload thread is a whole upload part behind."""
        ...

    def commit(self) -> bool:
        """Publish. True: created now. False: the same object (by its metadata) stood there already.

        Raises:
            Conflict: another object already exists there.
        """
        ...

    def abort(self) -> None:
        """Give up; harmless after `commit`."""
        ...


class Objects(Protocol):
    """S3, synchronous: bulk bytes are moved in threads (`Offload`), where asyncio gains nothing.

    Write-once objects carry metadata that says what they are; an equal one that stands already is success.
    """

    def head(self, ref: ObjectRef) -> ObjectInfo:
        """Look at an object. Raises `Missing`, `Refused`."""
        ...

    def read(self, ref: ObjectRef, start_byte: int = 0, length_bytes: int | None = None) -> bytes:
        """Read a range into memory. Raises `Missing`, `Changed` (the pin does not hold), `Refused`."""
        ...

    def stream(self, ref: ObjectRef, start_byte: int = 0, end_byte: int | None = None) -> BinaryIO:
        """Read forward from an offset, resuming by range after a broken connection. Raises as `read`.

        Who knows where to stop says so by `end_byte`: S3 sends what is asked for, also to those who hang up.
        """
        ...

    def random_access(self, ref: ObjectRef) -> BinaryIO:
        """A seekable reader by ranged requests, for Parquet. Raises as `read`, at the first read if the size is known."""
        ...

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        """Write a small object (at most 64 MiB) once; the answer and errors are those of `Upload.commit`."""
        ...

    def create(self, key: str, metadata: Mapping[str, str]) -> Upload:
        """Begin a write-once object of any size."""
        ...

    def list(self, prefix: str, bucket: str = "", owner: str | None = None) -> Iterator[ObjectInfo]:
        """A bucket's objects under a prefix, in key order, without metadata; the environment's own by default.

        A page of 1,000 is asked for when its first object is. Raises `MissingBucket`, `Refused`.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete an object; an absent one is no error."""
        ...


# --------------------------------------------------------------------------- Versions

# As many as S3 deletes in one request.
ERASED_AT_ONCE_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """A version of an object of the environment's bucket, standing or not; a delete marker has no bytes."""

    key: str
    version_id: str
    size_bytes: int = 0


class Versions(Protocol):
    """The environment's bucket with all that ever stood in it, for whoever erases. Synchronous, as `Objects`."""

    def under(self, prefix: str) -> Iterator[ObjectVersion]:
        """All versions and delete markers under a prefix, a page at a time.

        What was listed may be erased while the listing goes on; it may then leave some out, so list again until none is left.

        Raises `Refused`, `MissingBucket`.
        """
        ...

    def erase(self, versions: Sequence[ObjectVersion]) -> None:
        """Delete these versions for good, at most `ERASED_AT_ONCE_MAX`; one that is gone is no error.

        Raises `Refused`: some stay, the others are gone.
        """
        ...


# --------------------------------------------------------------------------- Jobs


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What Create is called with (contract section 1.2)."""

    name: str
    client_token: str
    role_arn: str
    model_id: str
    input_uri: str
    output_uri: str
    timeout_hours: int
    tags: Mapping[str, str] = field(default_factory=dict)
    output_kms_key: str | None = None
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    invocation_type: str | None = None
    base_model: str = ""
    """Where `model_id` does not say it: the model. It is not sent."""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job as Bedrock tells it (contract sections 1.3 and 1.4). `status` is Bedrock's own word.

    Texts that Bedrock does not return are empty, other values None.
    """

    arn: str
    name: str
    status: str
    model_id: str
    input_uri: str
    output_uri: str
    client_token: str | None = None
    role_arn: str = ""
    message: str = ""
    submitted_at: datetime | None = None
    ended_at: datetime | None = None
    total_records: int | None = None
    processed_records: int | None = None
    success_records: int | None = None
    error_records: int | None = None


class Jobs(Protocol):
    """Bedrock's batch jobs."""

    async def create(self, request: JobRequest) -> str:
        """Create a job, one attempt, and give its ARN.

        Raises:
            Throttled, QuotaExceeded, Refused: Bedrock answered; no job was created.
            Conflict: Bedrock answered so, and does not document why; a job may stand.
            Unknown: the reply was lost; a job may stand.
        """
        ...

    async def get(self, arn: str) -> Job:
        """Read one job. Raises `Missing`."""
        ...

    async def find(self, name: str) -> Sequence[Job]:
        """All jobs that bear exactly this name."""
        ...

    async def active(self) -> Sequence[Job]:
        """All jobs of the region, ours or not, that are not at an end: one List pass per non-terminal status."""
        ...

    async def stop(self, arn: str) -> None:
        """Ask a job to stop. A job that has ended already is no error (contract section 1.5: not documented)."""
        ...


# --------------------------------------------------------------------------- Quotas


class Quotas(Protocol):
    """What the account allows, as AWS's Service Quotas tells it."""

    async def jobs_at_once(self) -> Mapping[str, int]:
        """Batch jobs that may be active at once, by canonical model. A model that no quota names is left out."""
        ...


@dataclass(frozen=True, slots=True)
class BatchLoad:
    """What all batch jobs of the account have before them for a model, and how fast it goes. None: not told."""

    records_pending: float | None = None
    tokens_pending: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None


class BatchMetrics(Protocol):
    """What AWS publishes of the account's batch jobs."""

    async def by_model(self) -> Mapping[str, BatchLoad]:
        """By canonical model. Raises PortError."""
        ...


# --------------------------------------------------------------------------- Runtime

InvocationForm = Literal["InvokeModel", "Converse"]


@dataclass(frozen=True, slots=True)
class RuntimeRequest:
    """One record, to be asked on demand.

    Attributes:
        model_id: id, profile or ARN.
        form: how Bedrock is to read `body`.
        body: JSON, as it would stand in a job's `modelInput`.
        tier: the service tier that is asked for; None is the default one.
    """

    model_id: str
    form: InvocationForm
    body: bytes
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class InferenceProfile:
    """What Bedrock tells of a profile: the ARNs of the models that it routes to, one for each region, and its status."""

    model_arns: tuple[str, ...]
    status: str


class Profiles(Protocol):
    """Bedrock's inference profiles."""

    async def get(self, arn: str) -> InferenceProfile:
        """Read a profile by its id or ARN.

        Raises:
            Missing: there is none.
            Refused: it may not be read.
            Throttled, Unknown: not now.
        """
        ...


class Runtime(Protocol):
    """Bedrock's models, asked one by one."""

    async def ask(self, request: RuntimeRequest) -> bytes:
        """Ask once, and give the answer as it would stand in a job's `modelOutput`. What is asked twice is paid twice.

        Raises:
            Throttled: not now; nothing was done.
            QuotaExceeded: the account has no more of it; nothing was done.
            Missing: Bedrock knows no such model.
            Refused: Bedrock answered no. `denied` says that it is no to every record.
            Unknown: it timed out, or the service broke; it may have been done, and paid.
        """
        ...


# --------------------------------------------------------------------------- Bus, Clock, Offload


class Bus(Protocol):
    """The event bus on which Quarry tells what it did."""

    async def put(self, detail_type: str, detail: Mapping[str, Any]) -> None: ...


class Webhook(Protocol):
    """The host outside that wants to hear of ended runs."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send it, once. Raises Refused, Throttled, Unknown."""
        ...


class Clock(Protocol):
    """Time and randomness. `monotonic` is for staleness, `now` for people, deadlines and TTL only."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def token(self) -> str:
        """A fresh random word of 16 hex digits."""
        ...

    def uniform(self, low: float, high: float) -> float: ...


class Offload(Protocol):
    """Runs blocking work beside the event loop: in threads, or inline under simulation."""

    async def run(self, work: Callable[[], T]) -> T: ...
