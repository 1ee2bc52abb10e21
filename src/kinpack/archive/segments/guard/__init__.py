"""What a stranger's Parquet is held to before pyarrow reads it."""
