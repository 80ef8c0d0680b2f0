"""What there is to draw: square pictures, wordings, pairs for edits."""
