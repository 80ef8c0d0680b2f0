"""A finished set: Parquet and media shards, conversations, Croissant metadata, and the card that says what it is."""
