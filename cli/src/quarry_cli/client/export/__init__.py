"""`quarry export`: joined rows into a table of DuckDB, LanceDB or Iceberg, or vectors into S3 Vectors, and read back."""
