"""gzip and zstd unpacked to their very end, once, and read from the unpacked object from then on."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarry_core.contract.csv_dialect import Csv
from quarry_core.errors import Changed, Conflict
from quarry_core.planning.count_file import inspect
from quarry_core.planning.counting import count_source, write_count
from quarry_core.ports import ObjectRef
from quarry_core.sources.preview import preview
from quarry_core.tabular import compressed
from quarry_core.tabular.compressed import unpacked
from quarry_core.tabular.dataset import open_dataset
from quarry_core.tabular.errors import SourceError
from tests.unit.core.tabular.planted import RUN, counted, pinned, rows_of
from tests.world.objects import FakeObjects


def zstd(data: bytes) -> bytes:
    """One frame that says how long it is."""
    return pa.compress(data, codec="zstd", asbytes=True)


def zstd_streamed(data: bytes) -> bytes:
    """One frame that does not, as a stream is compressed."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


SKIPPED = b"\x53\x2a\x4d\x18" + struct.pack("<I", 7) + b"padding"
# BGZF: a member for each block, and an empty one at the end.
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")

HEAD, TAIL = b"id,text\n" + b"1,a\n" * 50_000, b"2,b\n3,c\n"
WHOLE = {
    "one member": gzip.compress(HEAD + TAIL),
    "two members": gzip.compress(HEAD) + gzip.compress(TAIL),
    "a member for each byte": b"".join(gzip.compress(HEAD[n : n + 5_000]) for n in range(0, len(HEAD), 5_000))
    + gzip.compress(TAIL),
    "an empty member first": gzip.compress(b"") + gzip.compress(HEAD) + gzip.compress(TAIL),
    "an empty member last": gzip.compress(HEAD + TAIL) + BGZF_END,
    "zero bytes behind": gzip.compress(HEAD + TAIL) + b"\0" * 600_000,
    "a name and a comment": gzip.compress(HEAD)[:3]
    + b"\x08"
    + gzip.compress(HEAD)[4:10]
    + b"x.csv\0"
    + gzip.compress(HEAD)[10:]
    + gzip.compress(TAIL),
    "one frame": zstd(HEAD + TAIL),
    "two frames": zstd(HEAD) + zstd(TAIL),
    "no content size": zstd_streamed(HEAD) + zstd_streamed(TAIL),
    "a skippable frame first": SKIPPED + zstd(HEAD + TAIL),
    "skippable frames all over": SKIPPED + zstd(HEAD) + SKIPPED + zstd_streamed(TAIL) + SKIPPED,
    "an empty frame first": zstd(b"") + zstd(HEAD + TAIL),
}
CSV_FILES = pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)


@CSV_FILES
def test_every_member_is_read_whatever_the_file_is_called(body):
    dataset = counted("csv", {"in/data_0_0_0": body}).dataset
    assert dataset.count.rows == 50_002
    assert dataset.count.size_bytes == len(HEAD + TAIL)
    assert rows_of(dataset, 49_998) == [
        *[{"id": "1", "text": "a"}] * 2,
        {"id": "2", "text": "b"},
        {"id": "3", "text": "c"},
    ]


@CSV_FILES
def test_a_file_that_is_cut_short_anywhere_is_refused(body):
    """Or it ends with a member, and nothing can tell that there was another."""
    kind = "gzip" if body.startswith(b"\x1f\x8b") else "zstd"
    ends = set()
    step = max(len(body) // 40, 1)
    for end in [*range(1, len(body), step), *range(max(len(body) - 12, 1), len(body))]:
        try:
            read = unpacked(io.BytesIO(body[:end]), kind, "f").read()
        except SourceError as refused:
            assert "f is cut short" in str(refused)  # noqa: PT017 either outcome is looked at
        else:
            ends.add(end)
            assert (HEAD + TAIL).startswith(read)
            # One more byte begins the next member, or it is padding.
            assert body[end : end + 1] in (b"\x1f", b"\x28", b"\x53", b"\0")
    assert len(ends) <= len(body) // step / 2 or b"\0" * 100 in body


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(1, 9), st.integers(1, 64), st.booleans())
def test_members_of_any_size_are_read_in_reads_of_any_size(parts, level, size, padded):
    body = b"".join(gzip.compress(part, level) for part in parts) + b"\0" * (7 * padded)
    stream = unpacked(io.BytesIO(body), "gzip", "f")
    pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == size for piece in pieces[:-1])
    body = b"".join(zstd(part) if level % 2 else zstd_streamed(part) for part in parts)
    assert unpacked(io.BytesIO(body), "zstd", "f").read() == b"".join(parts)


REFUSED = {
    "gzip garbage": (
        gzip.compress(HEAD) + b"garbage",
        "in/f has something behind its gzip data that is none; compress the whole file again (gzip FILE)",
    ),
    "gzip garbage behind zeros": (gzip.compress(HEAD) + b"\0" * 300_000 + b"x", "in/f has something behind its gzip"),
    "gzip checksum": (
        gzip.compress(HEAD)[:-8] + b"\0\0\0\0" + gzip.compress(HEAD)[-4:],
        (
            "in/f is damaged gzip data (Error -3 while decompressing data: incorrect data check); compress and upload it "
            "again"
        ),
    ),
    "gzip bits": (gzip.compress(HEAD)[:30] + b"\xff" * 20 + gzip.compress(HEAD)[50:], "in/f is damaged gzip data"),
    "gzip short": (gzip.compress(HEAD)[:-1], "in/f is cut short: its gzip data does not end; upload it again"),
    "gzip second short": (gzip.compress(HEAD) + gzip.compress(TAIL)[:-9], "in/f is cut short: its gzip data"),
    "zstd garbage": (
        zstd(HEAD) + b"garbage",
        "in/f has something behind its zstd data that is none; compress the whole file again (zstd FILE)",
    ),
    "zstd zeros": (zstd(HEAD) + b"\0" * 8, "in/f has something behind its zstd data"),
    "zstd short": (zstd(HEAD)[:-1], "in/f is cut short: its zstd data does not end; upload it again"),
    "zstd second short": (zstd(HEAD) + zstd(TAIL)[:9], "in/f is cut short: its zstd data"),
    "zstd bits": (zstd(HEAD)[:12] + b"\xff" * 20 + zstd(HEAD)[32:], "in/f is damaged zstd data ("),
    # A frame with a window of 2 GiB and one raw block of one byte.
    "zstd window": (
        b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x09\x00\x00x",
        "in/f needs a window of more than 128 MiB to be unpacked; compress it without --long or --ultra",
    ),
    "bzip2": (
        b"BZh91AY&SY",
        "in/f is bzip2, which is not read; unpack or convert it, and compress it with gzip or zstd",
    ),
    "xz": (b"\xfd7zXZ\x00\x00", "in/f is xz, which is not read"),
    "zip": (b"PK\x03\x04\x14", "in/f is a zip archive or a workbook, which is not read"),
    "snappy": (b"\xff\x06\x00\x00sNaPpY", "in/f is Snappy, which is not read"),
    "lz4": (b"\x04\x22\x4d\x18", "in/f is LZ4, which is not read"),
    "zlib": (zlib.compress(HEAD), "in/f is zlib (deflate), which is not read"),
    "parquet": (
        b"PAR1" + b"x" * 40,
        'in/f is Parquet data; narrow s3_uri to files of one format, or set format to "par',
    ),
    "twice": (gzip.compress(gzip.compress(HEAD)), "in/f is compressed twice; unpack it once"),
    "parquet inside": (zstd(b"PAR1" + b"x" * 40), "in/f is Parquet inside of a compressed file; unpack it"),
}


@pytest.mark.parametrize(("body", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_wholly_compressed_is_refused_with_what_to_do(body, sentence):
    objects = FakeObjects()
    pins = pinned(objects, "csv", {"in/f": body})
    with pytest.raises(SourceError) as refused:
        count_source(objects, RUN, pins)
    assert str(refused.value).startswith(sentence)
    assert not [key for key in objects.bodies if key.startswith("rows/")]


def test_jsonl_is_refused_likewise_if_it_is_cut_short():
    body = gzip.compress(b'{"text": "a"}\n') + gzip.compress(b'{"text": "b"}\n')[:-1]
    with pytest.raises(SourceError, match="in/f is cut short: its gzip data does not end"):
        counted("jsonl", {"in/f": body})


def test_a_bomb_is_refused_before_it_has_filled_anything(monkeypatch):
    monkeypatch.setattr(compressed, "EXPANSION_FREE_BYTES", 1 << 20)
    for body in (gzip.compress(b"a\n" * (8 << 20)), zstd(b"a\n" * (8 << 20))):
        with pytest.raises(SourceError) as refused:
            counted("csv", {"in/f": body})
        assert "in/f unpacks to more than 200 times its size (" in str(refused.value)
        assert "; if that is right, unpack it and name the unpacked file" in str(refused.value)
    monkeypatch.setattr(compressed, "EXPANDED_BYTES_MAX", 1 << 20)
    with pytest.raises(SourceError, match="in/f unpacks to more than 0 GiB; write the data as several files"):
        counted("csv", {"in/f": gzip.compress(b"text\n" + b"abc%d\n" % 7 * (1 << 19))})


def test_the_unpacked_file_is_kept_once_and_everything_later_reads_it(monkeypatch):
    objects = FakeObjects()
    rows = [{"id": n, "text": f"t{n}", "m": [n]} for n in range(5_000)]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    files = {
        "in/0": gzip.compress(b"".join(lines[:2_000])) + gzip.compress(b"".join(lines[2_000:3_000])),
        "in/1.jsonl": b"".join(lines[3_000:4_000]),
        "in/2": SKIPPED + zstd_streamed(b"".join(lines[4_000:])),
    }
    pins = pinned(objects, "jsonl", files)
    opened = []
    stream = objects.stream
    monkeypatch.setattr(
        objects, "stream", lambda ref, start=0, end=None: (opened.append((ref.key, start)), stream(ref, start, end))[1]
    )
    found = count_source(objects, RUN, pins)
    assert [key for key, start in opened if start == 0 and key.startswith("in/")].count("in/0") == 1
    assert [key for key, _ in opened].count("in/2") == 1
    spooled = {key: body for key, body in objects.bodies.items() if key.startswith("rows/")}
    assert spooled == {
        "rows/run/source-00000.jsonl": b"".join(lines[:3_000]),
        "rows/run/source-00002.jsonl": b"".join(lines[4_000:]),
    }
    write_count(found.dataset, RUN)
    dataset = open_dataset(objects, RUN, pins.source)
    expected = [{**row, "m": json.dumps(row["m"])} for row in rows]
    assert rows_of(dataset) == expected
    assert rows_of(dataset, 2_990, 1_500, ["id"]) == [{"id": n} for n in range(2_990, 4_490)]


def test_a_worker_that_comes_second_finds_the_unpacked_file_standing():
    objects = FakeObjects()
    pins = pinned(objects, "csv", {"in/0": gzip.compress(HEAD + TAIL)})
    first = count_source(objects, RUN, pins).dataset.count
    objects.delete("plans/run/counts/00000.json")
    assert count_source(objects, RUN, pins).dataset.count == first
    objects.delete("plans/run/counts/00000.json")
    objects.plant("rows/run/source-00000.csv", b"x", metadata={"run": "other"})
    with pytest.raises(Conflict):
        count_source(objects, RUN, pins)


def test_an_unpacked_file_that_is_not_the_pinned_one_is_not_read():
    objects = FakeObjects()
    pins = pinned(objects, "csv", {"in/0": gzip.compress(HEAD)})
    dataset = count_source(objects, RUN, pins).dataset
    objects.plant("rows/run/source-00000.csv", HEAD.replace(b"a", b"b"))
    with pytest.raises(Changed):
        rows_of(dataset, 0, 1)


def test_other_dialects_and_encodings_are_read_as_if_nothing_were_compressed():
    text = 'id;text\r\n1;"é; ""x"""\r\n2;ü\r\n'
    files = {"in/0.csv.gz": gzip.compress(text.encode("utf-16")), "in/1.csv.zst": zstd(text.encode("utf-16-le"))}
    dataset = counted("csv", files, csv=Csv(delimiter=";", encoding="utf-16")).dataset
    assert rows_of(dataset) == [{"id": "1", "text": 'é; "x"'}, {"id": "2", "text": "ü"}] * 2


def test_a_compressed_file_is_counted_without_a_place_to_keep_it():
    objects = FakeObjects()
    ref = objects.plant("in/0", gzip.compress(HEAD))
    count = inspect(objects, ref, "csv")
    assert (count.rows, count.spool) == (50_000, None)
    assert list(objects.bodies) == ["in/0"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd, zstd_streamed], ids=["gzip", "zstd", "streamed"])
def test_whoever_submits_sees_the_columns_of_a_compressed_file(pack):
    objects = FakeObjects()
    for form, body in (("csv", b"id,text\n" + b"1,x\n" * 10), ("jsonl", b'{"id": 1, "text": "x"}\n' * 10)):
        packed = pack(body * 100_000)
        objects.plant("f", packed)
        seen = preview(objects, ObjectRef("f"), form, len(packed), Csv())
        assert seen is not None
        assert seen.schema.names == ["id", "text"]
        assert seen.rows is None
    objects.plant("g", b'{"id": 1}\n\n{"id": 2}')
    seen = preview(objects, ObjectRef("g"), "jsonl", 20, Csv())
    assert seen is not None
    assert (seen.rows, seen.whole) == (2, True)
