#!/bin/bash
# pysimdjson 7.0.2: a list of lists becomes one flat buffer of numbers, without an error.
#
# Most would expect: `Array.as_buffer(of_type="d")` is for a flat array of numbers, as its homogeneous type says, and raises
# for an element that is no number, as it does for a text.
#
# Seen:
#   pysimdjson 7.0.2
#   [1.0, 2.0, 3.0]          -> [1.0, 2.0, 3.0]
#   [[1.0, 2.0], [3.0]]      -> [1.0, 2.0, 3.0]
#   [1.0, "2.0"]             -> TypeError
#
# So two embeddings in one answer pass for one longer embedding: who wants a vector must look for nesting first.
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pysimdjson==7.0.2
cd "$folder"
cat > try.py <<'PY'
import importlib.metadata
import sys

import simdjson

print(f"pysimdjson {importlib.metadata.version('pysimdjson')}")
seen = []
for text in ("[1.0, 2.0, 3.0]", "[[1.0, 2.0], [3.0]]", '[1.0, "2.0"]'):
    try:
        seen.append(list(memoryview(simdjson.Parser().parse(text.encode()).as_buffer(of_type="d")).cast("B").cast("d")))
    except (TypeError, ValueError) as error:
        seen.append(type(error).__name__)
    print(f"{text:<24} -> {seen[-1]}")
sys.exit(seen != [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "TypeError"])
PY
"$folder/venv/bin/python" try.py
