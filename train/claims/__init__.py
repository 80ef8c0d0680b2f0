"""What the paper claims, in miniature: one module and one command per claim, each with a table and a figure."""
