"""The builder of instruction data: records -> candidates -> scores -> selection, over shards that resume."""
