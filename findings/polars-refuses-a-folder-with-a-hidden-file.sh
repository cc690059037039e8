#!/bin/bash
# polars 2.1.0: a folder of Parquet files with any other file in it is refused, a hidden one too, at any depth.
#
# Most would expect: names that begin with "_" or "." are passed over, as pyarrow, pandas, Spark, Hive and fastparquet do;
# that is what `_SUCCESS`, `_metadata` and `.crc` files are named for.
#
# Seen:
#   polars 2.1.0, pyarrow 26.0.1
#   _report.json     pyarrow: 2 rows    polars: refused
#   .report.json     pyarrow: 2 rows    polars: refused
#   .hidden/a.json   pyarrow: 2 rows    polars: refused
#   _SUCCESS (empty) pyarrow: 2 rows    polars: 2 rows
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
cd "$folder"
cat > try.py <<'PY'
import pathlib, shutil, sys
import polars as pl, pyarrow as pa, pyarrow.dataset as ds, pyarrow.parquet as pq

print(f"polars {pl.__version__}, pyarrow {pa.__version__}")
as_seen = True
for name, body, refused in (("_report.json", "{}", True), (".report.json", "{}", True), (".hidden/a.json", "{}", True), ("_SUCCESS", "", False)):
    shutil.rmtree("data", ignore_errors=True)
    other = pathlib.Path("data", name)
    other.parent.mkdir(parents=True)
    other.write_text(body)
    pq.write_table(pa.table({"a": [1, 2]}), "data/part-0.parquet")
    try:
        seen = f"{pl.scan_parquet('data').collect().height} rows"
    except Exception:
        seen = "refused"
    print(f"{name:16} pyarrow: {ds.dataset('data').count_rows()} rows    polars: {seen}")
    as_seen &= (seen == "refused") == refused
sys.exit(0 if as_seen else 1)
PY
venv/bin/python try.py
