#!/bin/bash
# pyspark 4.3.0: a column added to a Parquet file that Spark once wrote is not there for Spark.
#
# Most would expect: the columns of a Parquet file are those of its schema. pyarrow hands the key-value metadata of a file
# on (`table.schema.metadata`), so whoever reads a file of Spark's, adds a column and writes it carries along the key
# `org.apache.spark.sql.parquet.row.metadata`: Spark's own schema of the old columns. Spark believes that one.
#
# Seen:
#   pyspark 4.3.0, pyarrow 26.0.1
#   columns for pyarrow:                 ['text', 'answer']
#   columns for Spark:                   ['text']
#   columns for Spark, without the key:  ['text', 'answer']
#
# Needs Java 17 or later. Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyspark==4.3.0 pyarrow==26.0.1
cd "$folder"
cat > try.py <<'PY'
import sys
import pyarrow as pa, pyarrow.parquet as pq, pyspark
from pyspark.sql import SparkSession

KEY = b"org.apache.spark.sql.parquet.row.metadata"
settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
builder = SparkSession.builder.master("local[1]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
print(f"pyspark {pyspark.__version__}, pyarrow {pa.__version__}")
spark.createDataFrame([("a",), ("b",)], ["text"]).coalesce(1).write.parquet("source")
table = pq.read_table("source").append_column("answer", pa.array(["x", "y"]))
pq.write_table(table, "added.parquet")
kept = {key: value for key, value in table.schema.metadata.items() if key != KEY}
pq.write_table(table.replace_schema_metadata(kept), "without.parquet")
columns = {name: spark.read.parquet(f"{name}.parquet").columns for name in ("added", "without")}
print(f"columns for pyarrow:                 {pq.read_schema('added.parquet').names}")
print(f"columns for Spark:                   {columns['added']}")
print(f"columns for Spark, without the key:  {columns['without']}")
spark.stop()
sys.exit(0 if columns == {"added": ["text"], "without": ["text", "answer"]} else 1)
PY
venv/bin/python try.py 2>/dev/null
