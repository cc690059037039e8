"""Sources that are refused on arrival: what is there, what the manifest says of it, and the sentence it gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.unit.core.sources.finding import CSV, PARQUET, Bucket

UUID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@dataclass(frozen=True)
class Bad:
    """`objects`: key to body, in the bucket `data`."""

    what: str
    uri: Any
    sentence: str
    objects: dict[str, bytes] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def reported(self) -> str:
        """The sentence that it gets."""
        data = Bucket()
        data.put("elsewhere/1.csv")
        for key, body in self.objects.items():
            data.put(key, body=body)
        return data.refused(self.uri, **self.fields)


def files(*keys: str, body: bytes = CSV) -> dict[str, bytes]:
    return dict.fromkeys(keys, body)


DELTA = {"t/p.parquet": PARQUET, "t/_delta_log/00000000000000000000.json": b"{}"}
ICEBERG = {"t/data/p.parquet": PARQUET, "t/metadata/00001-x.metadata.json": b"{}"}
HUDI = {"t/p=1/a.parquet": PARQUET, "t/p=1/.hoodie_partition_metadata": b"x"}
LANCE = {"t/data/a.lance": b"x", "t/_versions/1.manifest": b"x"}

BAD = [
    # the URI
    Bad("another scheme", "https://data/a.csv", "is not of the form s3://bucket/key"),
    Bad("no bucket name", "s3://My_Bucket/a.csv", "'My_Bucket' is not a bucket name"),
    Bad("a key of over 1,024 bytes", "s3://data/" + "k" * 1_025, "and S3 takes at most 1024"),
    Bad("an empty list", [], "no source is named"),
    Bad("a list with a number", ["s3://data/a.csv", 5], "must be text in double quotes, or a list of such texts"),
    Bad("an entry twice", ["s3://data/a/", "s3://data/a/"], "appears twice"),
    Bad("a list of 1,001 entries", [f"s3://data/{n}/" for n in range(1_001)], "at most 1000 are allowed"),
    Bad("`**` inside a name", "s3://data/a**.csv", "write a**/*.csv"),
    Bad("a range backwards", "s3://data/[9-0].csv", "from the lower character to the higher: [0-9]"),
    Bad("33 wildcards", "s3://data/" + "*a" * 33, "at most 32 are allowed"),
    # nothing there
    Bad("no such bucket", "s3://nobody/t/", "there is no bucket nobody"),
    Bad("no such object", "s3://data/elsewhere/2.csv", "did you mean s3://data/elsewhere/1.csv?"),
    Bad("no such folder", "s3://data/t/", "does not exist"),
    Bad("a pattern that matches nothing", "s3://data/*.csv", "* does not cross a slash, **/ does"),
    Bad("a pattern with braces", "s3://data/{a,b}/*.csv", "braces are no wildcards"),
    Bad("a pattern that matches folders only", "s3://data/else*", "end it with /** for what is in them"),
    Bad("a folder of markers", "s3://data/t/", "all 2 objects are markers or hidden", files("t/_SUCCESS", "t/", body=b"")),
    # what is there is not what it seems
    Bad("a part of 0 bytes", "s3://data/t/", "is empty (0 bytes)", {"t/1.csv": CSV, "t/2.csv": b""}),
    Bad("an unfinished Spark job", "s3://data/t/", "no _SUCCESS", files("t/1.csv", "t/_temporary/0/task/2.csv")),
    Bad("a Delta table", "s3://data/t/", "is a Delta table", DELTA),
    Bad("a partition of a Delta table", "s3://data/t/y=1/", "is a Delta table", DELTA | {"t/y=1/p.parquet": PARQUET}),
    Bad("an Iceberg table", "s3://data/t/", "is an Iceberg table", ICEBERG),
    Bad("an Iceberg table's data folder", "s3://data/t/data/", "is an Iceberg table", ICEBERG),
    Bad("a Hudi table", "s3://data/t/", "s3://data/t/ is a Hudi table", HUDI | {"t/.hoodie/hoodie.properties": b"x"}),
    Bad("a Lance table", "s3://data/t/", "is a Lance table", LANCE),
    Bad("a file by two entries", ["s3://data/t/", "s3://data/t/1.csv"], "would be taken twice", files("t/1.csv")),
    Bad("CSV called Athena's list", f"s3://data/{UUID}-manifest.csv", "and is none", {f"{UUID}-manifest.csv": CSV}),
    # formats
    Bad("Parquet beside CSV", "s3://data/t/", "of several kinds", files("t/1.csv") | files("t/1.parquet", body=PARQUET)),
    Bad("notes beside data", "s3://data/t/", "of several kinds", files("t/1.csv", "t/notes.txt")),
    Bad("names that tell nothing, over text", "s3://data/t/", "rename the object for its format", files("t/1", "t/2")),
    Bad("an encrypted file without an ending", "s3://data/t/", "encrypted footer", files("t/1", body=b"PARE1234")),
    Bad("Parquet and text without endings", "s3://data/t/", "by its first bytes", {"t/1": PARQUET, "t/2": CSV}),
    Bad("tabs", "s3://data/t/1.tsv", 'give "format": "csv" and "csv"', files("t/1.tsv")),
    Bad("a misspelt ending", "s3://data/t/1.cvs", "did you mean .csv?", files("t/1.cvs")),
    Bad("bzip2", "s3://data/t/", "compress it with gzip or zstd", files("t/1.csv.bz2")),
    Bad("Parquet inside gzip", "s3://data/t/", "Parquet is compressed inside", files("t/1.parquet.gz")),
    Bad("ORC", "s3://data/t/", "not yet supported; convert it", files("t/1.orc")),
    Bad("an unknown `format`", "s3://data/t/", "format: must be 'csv', 'parquet'", fields={"format": "orc"}),
    Bad("`csv` for Parquet", "s3://data/t/", "needs no dialect", files("t/1.parquet", body=PARQUET), {"csv": {"delimiter": ";"}}),
    # folders that are columns
    Bad("folders of other columns", "s3://data/t/", "the same columns in the same order", files("t/y=1/1.csv", "t/m=1/1.csv")),
    Bad("a file outside of the folders", "s3://data/t/", "the same columns in the same order", files("t/y=1/1.csv", "t/2.csv")),
    Bad("a column twice", "s3://data/t/", "'y' appears twice", files("t/y=1/y=2/1.csv")),
    Bad("a folder name that is no text", "s3://data/t/", "is not UTF-8", files("t/y=%ff/1.csv")),
    Bad("a type for no column", "s3://data/t/", "is no column", files("t/y=1/1.csv"), {"partition_types": {"m": "int"}}),
    Bad("an unknown type", "s3://data/t/", "partition_types.y: must be 'string'", fields={"partition_types": {"y": "long"}}),
    # the environment's own bucket
    Bad("Quarry's own folder", "s3://world/plans/", "own working files"),
    Bad("all of the environment's bucket", "s3://world/", "takes in Quarry's own working files"),
    Bad("a pattern over it", "s3://world/p*/*.csv", "takes in Quarry's own working files"),
]  # fmt: skip
