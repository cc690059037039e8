"""The ledger's table: there, with its keys; forgetting what has expired; and able to go back in time."""

from __future__ import annotations

from collections.abc import Sequence

from quarry_cli.aws.environment import Patient
from quarry_cli.aws.finding import Fault, NotKnown, command
from quarry_core.errors import Missing

KEYS = {"HASH": "pk", "RANGE": "sk"}
TTL_ATTRIBUTE = "expires_at"


async def table(patient: Patient) -> str | Sequence[Fault]:
    name = patient.settings.table
    told = await patient.asking.found("dynamodb", "describe_table", TableName=name)
    create = command(
        *("dynamodb", "create-table", "--table-name", name, "--billing-mode", "PAY_PER_REQUEST"),
        "--key-schema",
        '[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}]',
        "--attribute-definitions",
        '[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"}]',
    )
    if told is None:
        remedy = "Make it, or give QUARRY_TABLE the name that `terraform output` tells."
        return [Fault(told=f"there is no table {name}", remedy=remedy, cure=create)]
    described = told["Table"]
    keys = {each["KeyType"]: each["AttributeName"] for each in described["KeySchema"]}
    types = {each["AttributeName"]: each["AttributeType"] for each in described["AttributeDefinitions"]}
    if keys != KEYS or any(types.get(key) != "S" for key in KEYS.values()):
        told_keys = ", ".join(f"{attribute} ({types.get(attribute)})" for attribute in keys.values())
        return [
            Fault(
                told=f"the keys of {name} are {told_keys}, and should be pk and sk, both text",
                remedy="It is another table, or was made by hand: a table's keys cannot be changed. Make a new one.",
                cure=create,
            )
        ]
    return f"{name} is there, with its keys"


async def expiry(patient: Patient) -> str | Sequence[Fault]:
    name = patient.settings.table
    try:
        told = (await patient.asking("dynamodb", "describe_time_to_live", TableName=name))["TimeToLiveDescription"]
    except Missing as error:
        raise NotKnown("there is no such table: see the check `ledger`") from error
    on = told.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    if on and told.get("AttributeName") == TTL_ATTRIBUTE:
        return f"what has expired goes, by {TTL_ATTRIBUTE}"
    wanted = f'{{"Enabled":true,"AttributeName":"{TTL_ATTRIBUTE}"}}'
    change = ["--table-name", name, "--time-to-live-specification", wanted]
    return [
        Fault(
            told=f"nothing in {name} expires" + (f": TTL is on for {told.get('AttributeName')}" if on else ""),
            remedy=f"Switch TTL on for {TTL_ATTRIBUTE}; else the table grows for ever.",
            cure=command("dynamodb", "update-time-to-live", *change),
        )
    ]


async def recovery(patient: Patient) -> str | Sequence[Fault]:
    name = patient.settings.table
    try:
        told = await patient.asking("dynamodb", "describe_continuous_backups", TableName=name)
    except Missing as error:
        raise NotKnown("there is no such table: see the check `ledger`") from error
    state = told["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if state.get("PointInTimeRecoveryStatus") == "ENABLED":
        return "the table can be restored to any second of the last weeks"
    wanted = '{"PointInTimeRecoveryEnabled":true}'
    change = ["--table-name", name, "--point-in-time-recovery-specification", wanted]
    return [
        Fault(
            told=f"{name} cannot be restored: point-in-time recovery is off",
            remedy="Switch it on.",
            cure=command("dynamodb", "update-continuous-backups", *change),
        )
    ]
