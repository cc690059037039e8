"""The port Table, on the fake and on DynamoDB."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any

import pytest

from quarry_core.aws.table import DynamoTable
from quarry_core.errors import PortError, Refused, Stale
from quarry_core.ports import Cond, Delete, Put, Update
from tests.contract.emulated import reach
from tests.world.table import FakeTable

RUN = ("run#r1", "totals")
ALWAYS = (Cond("pk", "exists"),)


def made_table(aws, name):
    aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture(params=["fake", pytest.param("aws", marks=pytest.mark.emulator)])
async def table(request, fresh_env, monkeypatch):
    if request.param == "fake":
        yield FakeTable()
        return
    aws = request.getfixturevalue("aws")
    async with reach(aws, monkeypatch) as reached:
        yield DynamoTable(reached, made_table(aws, f"{fresh_env}-contract"))


async def stands(table, *writes):
    await table.transact(writes)


async def verdict(table, writes):
    try:
        await table.transact(writes)
    except PortError as error:
        return type(error).__name__
    return "done"


async def test_an_item_comes_back_as_it_went_in_with_its_key(table):
    item = {
        "text": "ünïcode \U0001f600",
        "empty": "",
        "number": 12345678901234567890,
        "less": -3,
        "yes": True,
        "no": False,
        "nothing": None,
        "names": {"a", "b"},
        "list": [1, "two", {"three": 3}],
        "map": {"in": {"deep": [None]}},
    }
    await stands(table, Put(RUN, item))
    found = await table.get(RUN)
    assert found == {**item, "pk": "run#r1", "sk": "totals"}
    assert type(found["number"]) is int
    assert type(found["list"][0]) is int
    assert type(found["yes"]) is bool
    assert type(found["names"]) is set


async def test_what_is_read_is_the_readers_own(table):
    await stands(table, Put(RUN, {"names": {"a"}, "list": [1]}))
    found = await table.get(RUN)
    found["names"].add("b")
    found["list"].append(2)
    again = await table.get(RUN)
    assert again["names"] == {"a"}
    assert again["list"] == [1]


async def test_words_of_an_enumeration_are_stored_as_plain_text(table):
    class Colour(StrEnum):
        RED = "red"

    await stands(table, Put(RUN, {"colour": Colour.RED}))
    found = await table.get(RUN)
    assert type(found["colour"]) is str
    await table.transact([Delete(RUN, (Cond("colour", "eq", "red"), Cond("colour", "eq", Colour.RED)))])


async def test_an_absent_item_is_none(table):
    assert await table.get(("run#none", "run")) is None


@pytest.mark.promise("S8")
async def test_an_item_is_put_once(table):
    await stands(table, Put(RUN, {"n": 1}))
    with pytest.raises(Stale):
        await table.transact([Put(RUN, {"n": 2})])
    assert (await table.get(RUN))["n"] == 1


async def test_an_item_may_be_put_again_after_its_deletion(table):
    await stands(table, Put(RUN, {"n": 1}))
    await table.transact([Delete(RUN, (Cond("n", "eq", 1),))])
    assert await table.get(RUN) is None
    await stands(table, Put(RUN, {"n": 2}))
    assert (await table.get(RUN))["n"] == 2


@pytest.mark.promise("S8")
async def test_an_absent_item_is_neither_updated_nor_deleted(table):
    with pytest.raises(Stale):
        await table.transact([Update(RUN, (Cond("n", "absent"),), set={"n": 1})])
    with pytest.raises(Stale):
        await table.transact([Delete(RUN)])
    assert await table.get(RUN) is None


@pytest.mark.promise("S8")
async def test_a_transaction_is_done_whole_or_not_at_all(table):
    other = ("run#r1", "shard#00002")
    await stands(table, Put(RUN, {"n": 1}))
    with pytest.raises(Stale, match="run#r1/totals"):
        await table.transact(
            [Put(other, {"state": "PENDING"}), Update(RUN, (Cond("n", "eq", 2),), add={"n": 1}), Put(("x", "y"), {})]
        )
    assert await table.get(other) is None
    assert (await table.get(RUN))["n"] == 1


HELD = {"n": 5, "m": 7, "text": "b", "yes": True, "nothing": None, "names": {"a", "b"}, "list": ["a", 1]}


PREMISES = [
    (Cond("n", "eq", 5), True),
    (Cond("n", "eq", 6), False),
    (Cond("n", "eq", "5"), False),
    (Cond("gone", "eq", 5), False),
    (Cond("yes", "eq", True), True),
    (Cond("yes", "eq", 1), False),
    (Cond("nothing", "eq", None), True),
    (Cond("gone", "eq", None), False),
    (Cond("names", "eq", {"b", "a"}), True),
    (Cond("names", "eq", {"a"}), False),
    (Cond("list", "eq", ["a", 1]), True),
    (Cond("n", "ne", 6), True),
    (Cond("n", "ne", 5), False),
    (Cond("n", "ne", "5"), True),
    (Cond("gone", "ne", 5), True),
    (Cond("n", "lt", 6), True),
    (Cond("n", "lt", 5), False),
    (Cond("n", "lt", "9"), False),
    (Cond("gone", "lt", 5), False),
    (Cond("text", "lt", "c"), True),
    (Cond("text", "lt", "B"), False),
    (Cond("n", "lt", other="m"), True),
    (Cond("m", "lt", other="n"), False),
    (Cond("n", "lt", other="gone"), False),
    (Cond("n", "eq", other="n"), True),
    (Cond("n", "ge", 5), True),
    (Cond("n", "ge", 6), False),
    (Cond("gone", "ge", 0), False),
    (Cond("m", "ge", other="n"), True),
    (Cond("gone", "absent"), True),
    (Cond("n", "absent"), False),
    (Cond("nothing", "absent"), False),
    (Cond("n", "exists"), True),
    (Cond("gone", "exists"), False),
    (Cond("names", "contains", "a"), True),
    (Cond("names", "contains", "c"), False),
    (Cond("gone", "contains", "a"), False),
    (Cond("names", "lacks", "c"), True),
    (Cond("names", "lacks", "a"), False),
    (Cond("gone", "lacks", "a"), True),
    (Cond("list", "contains", "a"), True),
    (Cond("list", "contains", 2), False),
    (Cond("text", "contains", "b"), True),
]


async def test_a_premise_holds_or_not(table):
    for number, (cond, holds) in enumerate(PREMISES):
        key = ("premise", str(number))
        await stands(table, Put(key, HELD))
        for write in (Update(key, (cond,), set={"met": True}), Delete(key, (cond,))):
            wanted = "done" if holds else "Stale"
            assert await verdict(table, [write]) == wanted, (cond, write)
        assert (await table.get(key) is None) is holds, cond


async def test_words_that_dynamodb_reserves_are_good_names(table):
    await stands(table, Put(RUN, {"state": "OPEN", "size": 1, "items": {"a"}, "dotted.name": 1, "value": 0}))
    await table.transact(
        [Update(RUN, (Cond("state", "eq", "OPEN"),), set={"dotted.name": 2}, add={"size": 1}, remove=("value",))]
    )
    found = await table.get(RUN)
    assert found["dotted.name"] == 2
    assert found["size"] == 2
    assert "value" not in found


async def test_an_update_sets_adds_inserts_discards_and_removes_together(table):
    await stands(table, Put(RUN, {"n": 1, "in": {"a"}, "out": {"a", "b"}, "gone": 1}))
    await table.transact(
        [
            Update(
                RUN,
                (Cond("n", "eq", 1),),
                set={"text": "t", "none": None},
                add={"n": 2, "fresh": -1},
                insert={"in": "b", "new": "x"},
                discard={"out": "a", "nowhere": "a"},
                remove=("gone", "never"),
            )
        ]
    )
    assert await table.get(RUN) == {
        "pk": "run#r1",
        "sk": "totals",
        "text": "t",
        "none": None,
        "n": 3,
        "fresh": -1,
        "in": {"a", "b"},
        "new": {"x"},
        "out": {"b"},
    }


async def test_a_set_that_loses_its_last_member_is_gone(table):
    await stands(table, Put(RUN, {"holders": {"a"}}))
    await table.transact([Update(RUN, (Cond("holders", "contains", "a"),), discard={"holders": "a"})])
    assert "holders" not in await table.get(RUN)
    await table.transact([Update(RUN, (Cond("holders", "lacks", "a"),), insert={"holders": "a"})])
    assert (await table.get(RUN))["holders"] == {"a"}


@pytest.mark.parametrize(
    "update",
    [
        Update(RUN, ALWAYS, add={"text": 1}),
        Update(RUN, ALWAYS, insert={"n": "a"}),
        Update(RUN, ALWAYS, discard={"n": "a"}),
        Update(RUN, ALWAYS, set={"long": "x" * 450_000}),
    ],
    ids=["number to text", "member into a number", "member out of a number", "too large"],
)
async def test_what_the_table_has_no_place_for_is_refused_and_nothing_is_written(table, update):
    before = {"text": "t", "n": 1}
    await stands(table, Put(RUN, before))
    with pytest.raises(Refused):
        await table.transact([Put(("other", "item"), {}), update])
    assert await table.get(RUN) == {**before, "pk": "run#r1", "sk": "totals"}
    assert await table.get(("other", "item")) is None


async def test_an_empty_key_is_refused(table):
    with pytest.raises(Refused):
        await table.transact([Put(("run#r1", ""), {})])


BADLY_FORMED = {
    "no write": [],
    "101 writes": [Put(("p", str(number)), {}) for number in range(101)],
    "two writes on one item": [Put(RUN, {}), Delete(RUN)],
    "item with another key": [Put(RUN, {"sk": "another"})],
    "update without a premise": [Update(RUN, (), set={"n": 1})],
    "update that changes nothing": [Update(RUN, ALWAYS)],
    "set and remove": [Update(RUN, ALWAYS, set={"n": 1}, remove=("n",))],
    "set and add": [Update(RUN, ALWAYS, set={"n": 1}, add={"n": 1})],
    "change of the key": [Update(RUN, ALWAYS, set={"pk": "another"})],
    "put of an empty set": [Put(RUN, {"names": set()})],
    "put of a deep empty set": [Put(RUN, {"map": {"list": [set()]}})],
    "update to an empty set": [Update(RUN, ALWAYS, set={"names": set()})],
    "unknown op": [Delete(RUN, (Cond("n", "between", 1),))],
    "contains another attribute": [Delete(RUN, (Cond("n", "contains", other="m"),))],
}


async def test_a_badly_formed_transaction_is_an_error_of_the_caller(table):
    refused = []
    for what, writes in BADLY_FORMED.items():
        try:
            await table.transact(writes)
        except ValueError:
            refused.append(what)
    assert refused == list(BADLY_FORMED)


@pytest.mark.parametrize("value", [1.5, {1, "a"}, object()], ids=["float", "mixed set", "object"])
async def test_a_value_of_a_foreign_type_is_an_error_of_the_caller(table, value):
    with pytest.raises(TypeError):
        await table.transact([Put(RUN, {"n": value})])


async def test_a_hundred_writes_are_one_transaction(table):
    await table.transact([Put(("p", f"{number:03d}"), {"n": number}) for number in range(100)])
    assert [item["n"] for item in await table.query("p", most=1000)] == list(range(100))


async def test_many_items_are_got_at_once_and_absent_ones_are_left_out(table):
    keys = [("p", f"{number:03d}") for number in range(250)]
    for start in range(0, 250, 100):
        await table.transact([Put(key, {"n": key[1]}) for key in keys[start : start + 100]])
    found = await table.get_many([*keys, ("p", "none"), keys[0]])
    assert {key: item["n"] for key, item in found.items()} == {key: key[1] for key in keys}
    assert await table.get_many([]) == {}
    with pytest.raises(ValueError, match="500"):
        await table.get_many([("p", str(number)) for number in range(501)])


SHARDS = ["shard#00002", "shard#00004", "shard#00006", "shard#00008"]


QUERIES: list[tuple[dict[str, Any], list[str]]] = [
    ({"prefix": "shard#"}, SHARDS),
    ({"prefix": ""}, ["run", *SHARDS, "totals"]),
    ({"prefix": "none#"}, []),
    ({"prefix": "shard#", "most": 2}, SHARDS[:2]),
    ({"prefix": "shard#", "backwards": True}, SHARDS[::-1]),
    ({"prefix": "shard#", "backwards": True, "most": 1}, SHARDS[-1:]),
    ({"prefix": "shard#", "after": "shard#00004"}, SHARDS[2:]),
    ({"prefix": "shard#", "after": "shard#00005"}, SHARDS[2:]),
    ({"prefix": "shard#", "after": "shard#00008"}, []),
    ({"prefix": "shard#", "after": "run"}, SHARDS),
    ({"prefix": "shard#", "after": "totals"}, []),
    ({"prefix": "shard#", "after": ""}, SHARDS),
    ({"prefix": "shard#", "after": "shard#"}, SHARDS),
    ({"prefix": "shard#", "after": "shard#00006", "backwards": True}, SHARDS[1::-1]),
    ({"prefix": "shard#", "after": "shard#00005", "backwards": True}, SHARDS[1::-1]),
    ({"prefix": "shard#", "after": "run", "backwards": True}, []),
    ({"prefix": "shard#", "after": "totals", "backwards": True}, SHARDS[::-1]),
    ({"prefix": "shard#", "after": "", "backwards": True}, []),
    ({"after": "shard#00006"}, ["shard#00008", "totals"]),
]


async def test_a_query_reads_a_partition_in_order(table):
    await table.transact([Put(("run#r1", sk), {}) for sk in (*SHARDS, "totals", "run")])
    await table.transact([Put(("run#r2", "shard#00002"), {})])
    for options, expected in QUERIES:
        found = await table.query("run#r1", **{"most": 10, **options})
        assert [item["sk"] for item in found] == expected, options


async def test_a_query_for_nothing_is_an_error_of_the_caller(table):
    with pytest.raises(ValueError, match="0 items"):
        await table.query("run#r1", most=0)


async def test_a_query_goes_on_beyond_one_page(table):
    # DynamoDB ends a page after 1 MB.
    for number in range(8):
        await stands(table, Put(("p", str(number)), {"long": "x" * 300_000}))
    assert [item["sk"] for item in await table.query("p", most=7)] == list("0123456")


# --------------------------------------------------------------------------- fake and emulator side by side

ATTRIBUTES = ("n", "m", "text", "names", "more")


def some_value(chance):
    return chance.choice([0, 1, 2, -1, "a", "b", "", True, False, None, ["a", 1], {"a"}, {"a", "b"}, {"k": 1}])


def some_cond(chance):
    op = chance.choice(["eq", "ne", "lt", "ge", "absent", "exists", "contains", "lacks"])
    if op in {"contains", "lacks"}:
        return Cond(chance.choice(ATTRIBUTES), op, chance.choice(["a", "b", "c"]))
    return Cond(chance.choice(ATTRIBUTES), op, some_value(chance))


def some_write(chance, key):
    match chance.randrange(5):
        case 0 | 1:
            chosen = chance.sample(ATTRIBUTES, chance.randrange(len(ATTRIBUTES)))
            return Put(key, {name: some_value(chance) for name in chosen})
        case 2 | 3:
            first, second, third, fourth, fifth = chance.sample(ATTRIBUTES, 5)
            changes = chance.choice(
                [
                    {"set": {first: some_value(chance)}},
                    {"add": {second: chance.choice([1, -1])}},
                    {"insert": {third: "b"}},
                    {"discard": {fourth: "a"}},
                    {"remove": (fifth,), "set": {first: some_value(chance)}},
                ]
            )
            return Update(key, (chance.choice([ALWAYS[0], some_cond(chance)]),), **changes)
        case _:
            return Delete(key, (some_cond(chance),))


@pytest.mark.emulator
@pytest.mark.parametrize("seed", range(4))
async def test_the_fake_and_dynamodb_tell_the_same_story(aws, fresh_env, monkeypatch, seed):
    chance = random.Random(seed)
    keys = [("p", str(number)) for number in range(4)]
    fake = FakeTable()
    verdicts = []
    async with reach(aws, monkeypatch) as reached:
        real = DynamoTable(reached, made_table(aws, f"{fresh_env}-story"))
        for _ in range(100):
            writes = [some_write(chance, key) for key in chance.sample(keys, chance.choice([1, 1, 2]))]
            verdicts.append(await verdict(real, writes))
            assert await verdict(fake, writes) == verdicts[-1], writes
        assert await fake.get_many(keys) == await real.get_many(keys)
    assert {"done", "Stale", "Refused"} == set(verdicts), "the story must have all endings"
