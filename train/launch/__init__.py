"""Settings and scripts for several cards and several nodes; JSON and shell, no code."""
