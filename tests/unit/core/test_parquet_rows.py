"""Reading Parquet that is damaged, encrypted or extreme: a sentence, and never the end of the process."""

from __future__ import annotations

import base64
import io
import random
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.planning.count_file import inspect
from quarry_core.tabular.errors import SourceError
from quarry_core.tabular.parquet.pages import PAGES_BYTES_MAX, Chunk, allow_pages, count_lists
from quarry_core.tabular.parquet.rows import ParquetSource, open_parquet, read_parquet
from quarry_core.tabular.row_bytes import indices_fit
from quarry_core.tabular.rows import read_rows
from tests.examples import examples
from tests.world.objects import FakeObjects

TABLE = pa.table(
    {
        "text": [f"row {n} " + "x" * (n % 50) for n in range(300)],
        "n": [float(n) for n in range(300)],
        "l": [[n] * (n % 5) for n in range(300)],
        "c": pa.array([f"c{n % 7}" for n in range(300)]).dictionary_encode(),
        "ts": pa.array(range(300), pa.timestamp("us")),
    }
)


def written(table=TABLE, **options) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body, **options)
    return body.getvalue()


def planted(body: bytes):
    objects = FakeObjects()
    return objects, objects.plant("in/d.parquet", body)


def read_whole(body: bytes) -> int:
    objects, ref = planted(body)
    count = inspect(objects, ref, "parquet")
    return sum(batch.num_rows for batch in read_rows(objects, ref, count, 0, count.rows))


# --------------------------------------------------------------------------- damage


@pytest.mark.promise("S9")
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "zstd", "use_dictionary": False},
        {"data_page_version": "2.0", "write_statistics": False},
        {"compression": "none", "use_deprecated_int96_timestamps": True},
    ],
    ids=["plain", "zstd", "version 2", "int96"],
)
def test_damage_anywhere_is_read_or_reported_and_ends_no_process(options):
    whole = written(row_group_size=200, **options)
    chance = random.Random(9)
    for _ in range(60):
        body = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4])):
            beginning = chance.choice([0, max(len(body) - 3_000, 0)])  # the pages, or the footer
            body[chance.randrange(beginning, len(body))] = chance.randrange(256)
        with suppress(SourceError):
            assert read_whole(bytes(body)) > 0


def test_a_page_that_does_not_have_its_checksum_is_reported():
    body = bytearray(written(pa.table({"n": np.arange(3_000)}), write_page_checksum=True, compression="none"))
    body[500] ^= 1
    with pytest.raises(SourceError, match=r"row group 0, column 'n', cannot be decoded"):
        read_whole(bytes(body))


def test_a_dictionary_index_without_a_level_does_not_fit():
    levels = pa.array(["a", "b"])
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 7, None], pa.int32()), levels, safe=False)
    right = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), levels)
    assert indices_fit(right)
    assert not indices_fit(wrong)
    assert not indices_fit(pa.StructArray.from_arrays([right, wrong], ["x", "y"]))
    assert not indices_fit(pa.ListArray.from_arrays(pa.array([0, 3], pa.int32()), wrong))


def test_a_footer_of_absurd_length_is_refused_before_it_is_read():
    body = written()
    with pytest.raises(SourceError, match="has a footer of 17 MiB"):
        read_whole(body[:-8] + (17 << 20).to_bytes(4, "little") + b"PAR1")


# --------------------------------------------------------------------------- encryption


class Keys(pe.KmsClient):
    def __init__(self, _config):
        super().__init__()

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


def encrypted(*, plaintext_footer: bool, numbers: bool = False) -> bytes:
    how = pe.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["secret"]}, plaintext_footer=plaintext_footer
    )
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), how)
    body = io.BytesIO()
    table = pa.table({"text": ["a", "b"], "secret": ["x", "y"], **({"n": [1, 2]} if numbers else {})})
    with pq.ParquetWriter(body, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return body.getvalue()


def test_encryption_is_called_so_and_its_columns_are_named():
    with pytest.raises(SourceError, match="is encrypted, and Quarry has no keys"):
        read_whole(encrypted(plaintext_footer=False))
    with pytest.raises(SourceError, match="encrypted columns: 'secret'; Quarry has no keys"):
        read_whole(encrypted(plaintext_footer=True))


def test_an_encrypted_column_that_is_not_used_does_not_matter():
    objects, ref = planted(encrypted(plaintext_footer=True))
    count = inspect(objects, ref, "parquet", needed=["text"], used=["text"])
    assert count.rows == 2
    assert [row for batch in read_parquet(objects, ref, 0, 2, ["text"]) for row in batch.to_pylist()] == [
        {"text": "a"},
        {"text": "b"},
    ]
    with pytest.raises(
        SourceError, match=r"encrypted columns: 'secret'; Quarry has no keys: .* leave them out with `col"
    ):
        inspect(objects, ref, "parquet", used=["text", "secret"])


def test_of_a_file_that_is_encrypted_in_part_a_row_is_decoded_before_its_statistics_are_asked_for(monkeypatch):
    asked = []
    read_group, statistics = ParquetSource.read_group, ParquetSource.statistics
    monkeypatch.setattr(
        ParquetSource, "read_group", lambda self, *args: (asked.append(args), read_group(self, *args))[1]
    )
    monkeypatch.setattr(
        ParquetSource, "statistics", lambda self, column: (asked.append(column), statistics(self, column))[1]
    )
    objects, ref = planted(encrypted(plaintext_footer=True, numbers=True))
    assert inspect(objects, ref, "parquet", needed=["n"], used=["n", "text"]).whole == ("n",)
    assert asked == [(0, 0, 1, ["text"]), (0, 0, 1, ["n"]), "n"]


# --------------------------------------------------------------------------- INT96


def int96(*values: tuple[int, int]) -> bytes:
    """A file of INT96 values: nanoseconds of the day, and the Julian day."""
    table = pa.table({"ts": pa.array(list(range(len(values))), pa.timestamp("us"))})
    body = written(table, compression="none", use_dictionary=False, use_deprecated_int96_timestamps=True)
    pattern = (0).to_bytes(8, "little") + (2_440_588).to_bytes(4, "little")
    at = body.index(pattern)
    raw = b"".join(nanos.to_bytes(8, "little") + day.to_bytes(4, "little") for nanos, day in values)
    return body[:at] + raw + body[at + len(raw) :]


def test_int96_comes_in_microseconds_whatever_the_year():
    body = int96((0, 2_440_588), (86_399_999_999_000, 5_373_484), (0, 1_721_426))
    objects, ref = planted(body)
    assert inspect(objects, ref, "parquet").schema.field("ts").type == pa.timestamp("us")
    [batch] = read_parquet(objects, ref, 0, 3)
    assert batch["ts"].cast(pa.string()).to_pylist() == [
        "1970-01-01 00:00:00.000000",
        "9999-12-31 23:59:59.999999",
        "0001-01-01 00:00:00.000000",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1, 2_440_588), "finer than microseconds: cast it to TIMESTAMP"),
        ((0, 2_440_588 + 120_000_000), "outside the range of microseconds: cast it to a string"),
        ((0, 2**32 - 1), "outside the range of microseconds"),
    ],
)
def test_an_int96_that_microseconds_do_not_hold_is_refused_by_column_and_row_group(value, message):
    with pytest.raises(
        SourceError, match=rf"column 'ts' has INT96 timestamps {message}.*row group 0, among its rows 1 to 2"
    ):
        read_whole(int96((0, 2_440_588), value))


def test_nested_int96_is_checked_as_well():
    table = pa.table({"l": [[1_000], [2_000, 1_001]]}, schema=pa.schema({"l": pa.list_(pa.timestamp("ns"))}))
    with pytest.raises(SourceError, match="column 'l' has INT96 timestamps finer"):
        read_whole(written(table, use_deprecated_int96_timestamps=True))


# --------------------------------------------------------------------------- lists


@given(
    st.lists(st.none() | st.lists(st.integers(0, 2) | st.none(), max_size=40), min_size=1, max_size=60),
    st.sampled_from(["1.0", "2.0"]),
    st.sampled_from(["none", "snappy", "zstd", "gzip", "lz4", "brotli"]),
)
@examples(100)
def test_the_lengths_of_lists_are_reported_by_their_levels(rows, version, codec):
    table = pa.table({"l": pa.array(rows, pa.list_(pa.int8()))})
    body = written(table, data_page_version=version, compression=codec, write_batch_size=7, data_page_size=1)
    objects, ref = planted(body)
    with open_parquet(objects, ref) as file, objects.random_access(ref) as source:
        [chunk] = file.chunks(0)
        lengths = count_lists(source, chunk)
    assert [int(n) for n in lengths if n] == [max(len(row or []), 1) for row in rows]  # an empty list takes one level


def test_lists_in_lists_are_counted_to_their_leaves():
    rows = [[[1] * 300, [2]], [], [[3] * 5] * 9, None]
    objects, ref = planted(written(pa.table({"l": pa.array(rows, pa.list_(pa.list_(pa.int8())))})))
    with open_parquet(objects, ref) as file, objects.random_access(ref) as source:
        [chunk] = file.chunks(0)
        assert isinstance(chunk, Chunk)
        assert [int(n) for n in count_lists(source, chunk) if n] == [301, 1, 45, 1]


# --------------------------------------------------------------------------- a process with more memory, or less


@pytest.fixture
def allowed():
    yield allow_pages
    allow_pages(PAGES_BYTES_MAX)


def test_how_much_of_open_pages_is_taken_is_the_process_s_to_say_and_the_sentence_says_how(allowed):
    columns = {name: [random.randbytes(500).hex() for _ in range(2_000)] for name in ("a", "b", "c")}
    body = written(pa.table(columns), use_dictionary=False, data_page_size=1 << 30, compression=None)
    allowed(4 << 20)

    with pytest.raises(SourceError, match=r"opens 4 MiB at most; .*ROW_GROUP_SIZE.*QUARRY_PARQUET_PAGES_BYTES_MAX"):
        read_whole(body)

    allowed(8 << 20)
    assert read_whole(body) == 2_000
