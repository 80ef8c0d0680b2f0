"""Which rows stay: rules over stored scores, and rows that are there twice or in a test set."""
