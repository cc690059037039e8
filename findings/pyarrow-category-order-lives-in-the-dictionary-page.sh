#!/bin/bash
# pyarrow 26.0.1: ordered categories change their order, and a file is written that cannot be read, where a category
# column is written without a dictionary.
#
# Most would expect: order and levels of a categorical are part of the schema (the Arrow schema in the file says
# `ordered=1`), so `use_dictionary=False`, an encoding, changes the size and nothing else; and what was written without an
# error can be read.
#
# Seen:
#   pyarrow 26.0.1
#   written:                 ['low', 'medium', 'high', 'huge'] ordered
#   read, default:           ['low', 'medium', 'high', 'huge'] ordered
#   read, no dictionary:     ['high', 'low'] ordered
#   300 categories in chunks of 100 with int8 codes, one row group: written
#   read: ArrowInvalid, Integer value 128 not in range
#
# The Arrow schema knows only that there is an order. The levels stand in the dictionary page of each row group, or
# nowhere: then the reader numbers the values as they come, into codes of the width that the schema says.
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$folder"
cat > try.py <<'PY'
import sys
import pyarrow as pa, pyarrow.parquet as pq

print(f"pyarrow {pa.__version__}")
levels = ["low", "medium", "high", "huge"]
table = pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.int8()), levels, ordered=True)})
read = {}
for name, option in (("default", True), ("no dictionary", False)):
    pq.write_table(table, "x.parquet", use_dictionary=option)
    column = pq.read_table("x.parquet")["c"]
    read[name] = column.chunk(0).dictionary.to_pylist()
    assert column.type.ordered
print(f"written:                 {levels} ordered")
print(f"read, default:           {read['default']} ordered")
print(f"read, no dictionary:     {read['no dictionary']} ordered")
chunks = [
    pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{chunk} {level}" for level in range(100)])
    for chunk in range(3)
]
pq.write_table(pa.table({"c": pa.chunked_array(chunks)}), "x.parquet")
print("300 categories in chunks of 100 with int8 codes, one row group: written")
try:
    pq.read_table("x.parquet")
    unread = ""
except pa.ArrowInvalid as error:
    unread = str(error)
    print(f"read: ArrowInvalid, {unread.splitlines()[0][:60]}")
as_seen = read == {"default": levels, "no dictionary": ["high", "low"]} and "not in range" in unread
sys.exit(0 if as_seen else 1)
PY
venv/bin/python try.py
