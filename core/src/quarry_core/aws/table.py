"""The ledger's table in DynamoDB: consistent reads, and transactions that say truly what became of them.

Every write goes through TransactWriteItems, one write too, so there is one path to reason about. Each call of
`transact` carries one client request token through all of its sendings: if a reply is lost, the next sending is
answered with what the first one did. The SDK itself sends only once here, so that this module sees every loss and
never says `Throttled` (nothing was done) of a transaction whose first sending nobody heard back from.

Calling twice is harmless only because a write repeats its premise: the token is forgotten after ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quarry_core.aws.calls import Calls
from quarry_core.aws.writes import read_item, transaction, wire_key
from quarry_core.errors import (
    MALFORMED_WRITE,
    STALE,
    TRANSACTION_BUSY,
    TRANSACTION_CANCELED,
    Refused,
    Stale,
    Throttled,
    Unknown,
)
from quarry_core.ports import Item, Key, Write

GET_MANY_KEYS_MAX = 500
BATCH_KEYS_MAX = 100
# Sendings after the first. A lost reply costs a whole timeout, so fewer of these.
RETRIES_MAX = 8
RETRIES_AFTER_LOSS_MAX = 2
BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 2.0
_NO_REASON: Final = "None"
_REASON_CHARS_MAX = 300


class DynamoTable:
    """One table with the keys `pk` and `sk`, both strings. Items are read with these two among their attributes."""

    def __init__(self, aws: Calls, table_name: str) -> None:
        self._aws = aws
        self._table_name = table_name

    async def get(self, key: Key) -> Item | None:
        answer = await self._aws.call(
            "dynamodb",
            "get_item",
            {"TableName": self._table_name, "Key": wire_key(key), "ConsistentRead": True},
            doing=f"reading {key}",
        )
        found = answer.get("Item")
        return None if found is None else read_item(found)

    async def get_many(self, keys: Sequence[Key]) -> Mapping[Key, Item]:
        if len(keys) > GET_MANY_KEYS_MAX:
            raise ValueError(f"{len(keys)} keys at once; at most {GET_MANY_KEYS_MAX}")
        wanted = list(dict.fromkeys(keys))  # DynamoDB refuses a key that is asked for twice
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), BATCH_KEYS_MAX):
            for item in await self._get_batch(wanted[start : start + BATCH_KEYS_MAX]):
                found[item["pk"], item["sk"]] = item
        return found

    async def _get_batch(self, keys: Sequence[Key]) -> list[dict[str, Any]]:
        pending: list[dict[str, Any]] = [wire_key(key) for key in keys]
        found: list[dict[str, Any]] = []
        for retry in range(RETRIES_MAX + 1):
            answer = await self._aws.call(
                "dynamodb",
                "batch_get_item",
                {"RequestItems": {self._table_name: {"Keys": pending, "ConsistentRead": True}}},
                doing=f"reading {len(pending)} items",
            )
            found += [read_item(item) for item in answer.get("Responses", {}).get(self._table_name, [])]
            pending = answer.get("UnprocessedKeys", {}).get(self._table_name, {}).get("Keys", [])
            if not pending:
                return found
            if retry < RETRIES_MAX:
                await self._pause(retry)
        raise Throttled(f"reading items: {len(pending)} of {len(keys)} were left out {RETRIES_MAX + 1} times")

    async def query(
        self, pk: str, prefix: str = "", *, most: int, after: str | None = None, backwards: bool = False
    ) -> Sequence[Item]:
        if most < 1:
            raise ValueError(f"at most {most} items make no query")
        request = {
            "TableName": self._table_name,
            "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :prefix)" if prefix else "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"} if prefix else {"#pk": "pk"},
            "ExpressionAttributeValues": {":pk": {"S": pk}} | ({":prefix": {"S": prefix}} if prefix else {}),
            "ConsistentRead": True,
            "ScanIndexForward": not backwards,
        }
        start: Mapping[str, Any] | None = None
        if after is not None:
            if after and after.startswith(prefix):
                start = wire_key((pk, after))
            elif (after < prefix or not after) == backwards:
                return []  # all that begins with the prefix lies on the other side
            # Else all of it lies ahead, and a start outside the prefix is one that DynamoDB refuses.
        found: list[Item] = []
        while len(found) < most:
            page: dict[str, Any] = {**request, "Limit": most - len(found)}
            if start is not None:
                page["ExclusiveStartKey"] = start
            answer = await self._aws.call("dynamodb", "query", page, doing=f"querying {pk} {prefix}*")
            found += [read_item(item) for item in answer.get("Items", [])]
            start = answer.get("LastEvaluatedKey")
            if not start:
                break
        return found

    async def transact(self, writes: Sequence[Write]) -> None:
        request = {
            "TransactItems": transaction(writes, self._table_name),
            "ClientRequestToken": self._aws.clock.token() + self._aws.clock.token(),
        }
        doing = f"writing {', '.join('/'.join(write.key) for write in writes[:3])}{' ...' if len(writes) > 3 else ''}"
        losses, busy = 0, ""
        for retry in range(RETRIES_MAX + 1):
            try:
                await self._aws.call("dynamodb", "transact_write_items", request, doing=doing, once=True)
            except Refused as refused:
                busy = f"{doing}: {_unless_busy(refused, writes)}"
            except Throttled as throttled:
                busy = str(throttled)
            except Unknown:
                losses += 1
                if losses > RETRIES_AFTER_LOSS_MAX or retry == RETRIES_MAX:
                    raise
            else:
                return
            if retry < RETRIES_MAX:
                await self._pause(retry)
        if losses:
            raise Unknown(f"{busy}; {losses} earlier replies were lost")
        raise Throttled(f"{busy}; given up after {RETRIES_MAX + 1} sendings")

    async def _pause(self, retry: int) -> None:
        """Full jitter: waiters that met once are not to meet again."""
        clock = self._aws.clock
        await clock.sleep(clock.uniform(0.0, min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**retry)))


def _unless_busy(refused: Refused, writes: Sequence[Write]) -> str:
    """Why a transaction was cancelled, if it is worth sending again. Raises what else it means."""
    if refused.code != TRANSACTION_CANCELED:
        refused.malformed |= refused.code in MALFORMED_WRITE
        raise refused
    reasons = getattr(refused.__cause__, "response", {}).get("CancellationReasons", [])
    reported = [
        (str(reason.get("Code")), str(reason.get("Message", ""))[:_REASON_CHARS_MAX], write.key)
        for reason, write in zip(reasons, writes, strict=False)
        if reason.get("Code") != _NO_REASON
    ]
    for code, _, key in reported:
        if code in STALE:
            raise Stale(f"the premise on {'/'.join(key)} did not hold") from refused
    for code, text, key in reported:
        if code not in TRANSACTION_BUSY:
            malformed = code in MALFORMED_WRITE
            raise Refused(f"writing {'/'.join(key)}: {code}: {text}", code, malformed=malformed) from refused
    return ", ".join(f"{code} on {'/'.join(key)}" for code, _, key in reported) or "cancelled without a reason"
