#!/bin/sh
# pyarrow 26: with use_threads=False a Parquet file is still read in another thread than the caller's.
#
# Most would expect: use_threads=False keeps all work, and above all the calls of a Python file object, in the thread that
# asks. It does so for decoding only. Reading ahead (`pre_buffer`, on unless it is turned off) has a pool of its own, so
# `read` of the file is called there: a file that belongs to a thread, as a connection of sqlite3 or an event loop does, must
# be opened with pre_buffer=False.
#
# Output seen:
#   pyarrow 26.0.1
#   use_threads=False:                    columns read in another thread
#   use_threads=False, pre_buffer=False:  columns read in the caller's thread
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cat > "$folder/read.py" <<'PYTHON'
import io
import sys
import threading

import pyarrow
import pyarrow.parquet as pq

ROWS = 10_000
body = io.BytesIO()
pq.write_table(pyarrow.table({"text": [f"row {row}" for row in range(ROWS)]}), body)


class Noting(io.BytesIO):
    def __init__(self):
        super().__init__(body.getvalue())
        self.threads = set()

    def read(self, size=-1):
        self.threads.add(threading.current_thread())
        return super().read(size)


def where(**options):
    """In which thread the columns are read; the footer is read when the file is opened."""
    source = Noting()
    file = pq.ParquetFile(source, **options)
    source.threads.clear()
    assert sum(batch.num_rows for batch in file.iter_batches(use_threads=False)) == ROWS
    return "the caller's" if source.threads == {threading.main_thread()} else "another"


print(f"pyarrow {pyarrow.__version__}")
ahead, plain = where(), where(pre_buffer=False)
print(f"use_threads=False:                    columns read in {ahead} thread")
print(f"use_threads=False, pre_buffer=False:  columns read in {plain} thread")
sys.exit((ahead, plain) != ("another", "the caller's"))
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
