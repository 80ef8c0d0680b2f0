"""What the drawing weights can do, on people they have never seen: a number, its baseline, and how many pictures."""
