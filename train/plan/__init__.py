"""What a run will need, before anything is started: memory per card by part, steps, hours. Pure functions."""
