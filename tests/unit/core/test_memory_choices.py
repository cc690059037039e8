"""What a service chooses of its memory: freed blocks are kept, and pandas, which pyarrow imports by itself, is left out."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

WORKS = "import pyarrow as pa; print(pa.array([1, 2]).to_pylist(), pa.table({'a': ['x']}).num_rows); import sys"
LOADED = "print(sys.modules.get('pandas') is not None)"


@pytest.mark.parametrize(("first", "loaded"), [("pass", True), ("leave_pandas_out()", False)])
def test_pyarrow_works_without_the_pandas_that_it_would_import(first, loaded):
    code = f"from quarry_core.tabular.memory import leave_pandas_out; {first}; {WORKS}; {LOADED}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[1,", "2]", "1", str(loaded)]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_the_c_library_takes_every_setting():
    code = "from quarry_core.tabular.memory import keep_freed_memory; print(keep_freed_memory())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
