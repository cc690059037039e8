#!/bin/bash
# lancedb 0.40.0: null in a column of vectors is kept, or refused as a vector of another length, by the column's name and length.
#
# Most would expect: the schema says that the column may be null, and names mean nothing.
#
# Seen:
#   lancedb 0.40.0
#   v, 2 numbers            kept
#   embedding, 2 numbers    refused
#   v, 10 numbers           refused
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lancedb==0.40.0 pyarrow==26.0.1
cd "$folder"
cat > try.py <<'PY'
import sys
import lancedb, pyarrow as pa

print(f"lancedb {lancedb.__version__}")
database, as_seen = lancedb.connect("db"), True
for name, length, wanted in (("v", 2, "kept"), ("embedding", 2, "refused"), ("v", 10, "refused")):
    rows = pa.table({name: pa.array([[0.5] * length, None], pa.list_(pa.float32(), length))})
    try:
        table = database.create_table("t", data=rows, schema=rows.schema, mode="overwrite")
        seen = "kept" if table.to_arrow()[name].to_pylist()[1] is None else "changed"
    except Exception as error:
        seen = "refused" if "variable length" in str(error) else f"{type(error).__name__}: {error}"
    print(f"{f'{name}, {length} numbers':23} {seen}")
    as_seen &= seen == wanted
sys.exit(0 if as_seen else 1)
PY
venv/bin/python try.py
