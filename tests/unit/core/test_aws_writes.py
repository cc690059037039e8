"""The expressions that we send, whatever is written: an emulator takes more than DynamoDB does."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.aws.writes import read_item, transaction, wire_item
from quarry_core.ports import Cond, Delete, Put, Update, Write

KEY = ("run#r1", "totals")
attributes = st.one_of(
    st.sampled_from(["state", "size", "in_use", "admit_limit", "name", "a.b", "x + y", "#n0", ":v0", "virtual-time"]),
    st.text(min_size=1, max_size=8).filter(lambda name: name not in {"pk", "sk"}),
)
plain = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=8))
values = st.one_of(
    st.recursive(
        plain, lambda one: st.one_of(st.lists(one, max_size=3), st.dictionaries(st.text(max_size=3), one, max_size=3))
    ),
    st.sets(st.text(max_size=4), min_size=1, max_size=3),
)
conds = st.one_of(
    st.builds(Cond, attributes, st.sampled_from(["eq", "ne", "lt", "ge", "contains", "lacks"]), values),
    st.builds(Cond, attributes, st.sampled_from(["absent", "exists"])),
    st.builds(
        lambda name, op, other: Cond(name, op, other=other),
        attributes,
        st.sampled_from(["eq", "ne", "lt", "ge"]),
        attributes,
    ),
)
premises = st.lists(conds, min_size=1, max_size=4).map(tuple)


@st.composite
def updates(draw):
    names = draw(st.lists(attributes, min_size=1, max_size=10, unique=True))
    kinds = [draw(st.sampled_from(["set", "add", "insert", "discard", "remove"])) for _ in names]
    of = {kind: [name for name, chosen in zip(names, kinds, strict=True) if chosen == kind] for kind in kinds}
    return Update(
        KEY,
        draw(premises),
        set={name: draw(values) for name in of.get("set", [])},
        add={name: draw(st.integers(-5, 5)) for name in of.get("add", [])},
        insert={name: draw(st.text(max_size=4)) for name in of.get("insert", [])},
        discard={name: draw(st.text(max_size=4)) for name in of.get("discard", [])},
        remove=tuple(of.get("remove", [])),
    )


writes = st.one_of(
    updates(),
    st.builds(Delete, st.just(KEY), st.one_of(st.just(()), premises)),
    st.builds(Put, st.just(KEY), st.dictionaries(attributes, values, max_size=4)),
)

PLACEHOLDER = r"(?:#n[0-9]+|:v[0-9]+)"
FUNCTION = (
    r"(?:NOT contains\(#n[0-9]+, :v[0-9]+\)|contains\(#n[0-9]+, :v[0-9]+\)|attribute_(?:not_)?exists\(#n[0-9]+\))"
)
COMPARISON = rf"#n[0-9]+ (?:=|<>|<|>=) {PLACEHOLDER}"
CONDITION = re.compile(rf"(?:{FUNCTION}|{COMPARISON})(?: AND (?:{FUNCTION}|{COMPARISON}))*")
PAIRS = r"#n[0-9]+ :v[0-9]+(?:, #n[0-9]+ :v[0-9]+)*"
CHANGE = re.compile(
    r"(?:SET #n[0-9]+ = :v[0-9]+(?:, #n[0-9]+ = :v[0-9]+)* ?)?"
    rf"(?:ADD {PAIRS} ?)?(?:DELETE {PAIRS} ?)?(?:REMOVE #n[0-9]+(?:, #n[0-9]+)*)?"
)


@given(writes)
def test_expressions_know_no_arithmetic_and_no_bare_name(write):
    ((kind, wire),) = transaction([write], "table")[0].items()
    assert CONDITION.fullmatch(wire["ConditionExpression"])
    change = wire.get("UpdateExpression", "")
    assert CHANGE.fullmatch(change)
    assert (kind == "Update") == bool(change)
    said = f"{wire['ConditionExpression']} {change}"
    # DynamoDB refuses what is declared and not used, and what is used and not declared.
    assert set(re.findall(r"#n[0-9]+", said)) == set(wire["ExpressionAttributeNames"])
    assert set(re.findall(r":v[0-9]+", said)) == set(wire.get("ExpressionAttributeValues", {}))
    assert max(Counter(wire["ExpressionAttributeNames"].values()).values()) == 1


@pytest.mark.promise("S8")
@given(writes)
def test_every_write_carries_its_premise(write):
    ((kind, wire),) = transaction([write], "table")[0].items()
    names = wire["ExpressionAttributeNames"]
    first = wire["ConditionExpression"].split(" AND ")[0]
    stands = {f"attribute_exists({name})" for name, attribute in names.items() if attribute == "pk"}
    if kind == "Put":
        assert first.replace("_not_", "_") in stands
        assert "not_exists" in first
    else:
        assert first in stands
    wanted = len(getattr(write, "when", ())) + 1
    assert len(wire["ConditionExpression"].split(" AND ")) == wanted


def typed(value):
    """With types, for to Python True is 1."""
    match value:
        case list():
            return [typed(one) for one in value]
        case dict():
            return {name: typed(one) for name, one in value.items()}
        case _:
            return type(value), value


@given(st.dictionaries(attributes, values, max_size=5))
def test_values_come_back_as_they_went_in(item):
    found = read_item(wire_item(item))
    assert {name: typed(value) for name, value in found.items()} == {name: typed(value) for name, value in item.items()}


def test_a_whole_transaction_reads_like_this():
    admit: list[Write] = [
        Update(
            ("pool#eu#m", "quota"),
            (Cond("in_use", "lt", other="admit_limit"), Cond("holders", "lacks", "r1/00002/1")),
            add={"in_use": 1},
            insert={"holders": "r1/00002/1"},
        ),
        Delete(("run#r1", "wait#1#00002")),
    ]
    pool, marker = transaction(admit, "ledger")
    assert pool == {
        "Update": {
            "TableName": "ledger",
            "Key": {"pk": {"S": "pool#eu#m"}, "sk": {"S": "quota"}},
            "ConditionExpression": "attribute_exists(#n0) AND #n1 < #n2 AND NOT contains(#n3, :v0)",
            "UpdateExpression": "ADD #n1 :v1, #n3 :v2",
            "ExpressionAttributeNames": {"#n0": "pk", "#n1": "in_use", "#n2": "admit_limit", "#n3": "holders"},
            "ExpressionAttributeValues": {
                ":v0": {"S": "r1/00002/1"},
                ":v1": {"N": "1"},
                ":v2": {"SS": ["r1/00002/1"]},
            },
        }
    }
    assert marker["Delete"]["ConditionExpression"] == "attribute_exists(#n0)"
