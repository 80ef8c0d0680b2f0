"""The running page under many people: what it costs them, what it leaves behind. `python -m benchmarks.load --help`."""
