"""One row, its terms, and the files of rows: shards that resume."""
