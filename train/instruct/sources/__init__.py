"""Public layouts to rows: what is read, which windows, what the papers count, and records for drawing."""
