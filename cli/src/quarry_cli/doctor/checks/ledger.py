"""The ledger's table: there, with its keys; forgetting what has expired; and able to go back in time."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_cli.aws.environment import Environment
from quarry_cli.aws.finding import Fault, NotKnown, command
from quarry_core.errors import Missing

KEYS = {"HASH": "pk", "RANGE": "sk"}
TTL_ATTRIBUTE = "expires_at"


async def table(environment: Environment) -> str | Sequence[Fault]:
    name = environment.settings.table
    message = await environment.asking.found("dynamodb", "describe_table", TableName=name)
    create = command(
        *("dynamodb", "create-table", "--table-name", name, "--billing-mode", "PAY_PER_REQUEST"),
        "--key-schema",
        '[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]',
        "--attribute-definitions",
        '[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"}]',
    )
    if message is None:
        remedy = "Create it, or set QUARRY_TABLE to the name that `terraform output` prints."
        return [Fault(message=f"there is no table {name}", remedy=remedy, fix=create)]
    described = message["Table"]
    keys = {each["KeyType"]: each["AttributeName"] for each in described["KeySchema"]}
    types = {each["AttributeName"]: each["AttributeType"] for each in described["AttributeDefinitions"]}
    if keys != KEYS or any(types.get(key) != "S" for key in KEYS.values()):
        reported_keys = ", ".join(f"{attribute} ({types.get(attribute)})" for attribute in keys.values())
        return [
            Fault(
                message=f"the keys of {name} are {reported_keys}, but must be pk and sk, both strings",
                remedy=(
                    "It is another table, or was created by hand: a table's keys cannot be changed. Create a new one."
                ),
                fix=create,
            )
        ]
    return f"{name} exists, with its keys"


async def expiry(environment: Environment) -> str | Sequence[Fault]:
    name = environment.settings.table
    try:
        message = (await environment.asking("dynamodb", "describe_time_to_live", TableName=name))[
            "TimeToLiveDescription"
        ]
    except Missing as error:
        raise NotKnown("the table does not exist: see the check `ledger`") from error
    on = message.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    if on and message.get("AttributeName") == TTL_ATTRIBUTE:
        return f"expired items are deleted, by {TTL_ATTRIBUTE}"
    wanted = f'{{"Enabled":true,"AttributeName":"{TTL_ATTRIBUTE}"}}'
    change = ["--table-name", name, "--time-to-live-specification", wanted]
    return [
        Fault(
            message=f"nothing in {name} expires" + (f": TTL is on for {message.get('AttributeName')}" if on else ""),
            remedy=f"Enable TTL for {TTL_ATTRIBUTE}; otherwise the table grows forever.",
            fix=command("dynamodb", "update-time-to-live", *change),
        )
    ]


async def recovery(environment: Environment) -> str | Sequence[Fault]:
    name = environment.settings.table
    try:
        message = await environment.asking("dynamodb", "describe_continuous_backups", TableName=name)
    except Missing as error:
        raise NotKnown("the table does not exist: see the check `ledger`") from error
    state = message["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if state.get("PointInTimeRecoveryStatus") == "ENABLED":
        return "the table can be restored to any second of the last weeks"
    wanted = '{"PointInTimeRecoveryEnabled":true}'
    change = ["--table-name", name, "--point-in-time-recovery-specification", wanted]
    return [
        Fault(
            message=f"{name} cannot be restored: point-in-time recovery is off",
            remedy="Enable it.",
            fix=command("dynamodb", "update-continuous-backups", *change),
        )
    ]
