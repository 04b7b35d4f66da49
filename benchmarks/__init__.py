"""Speed, memory and sizes, measured: `python -m benchmarks`."""
