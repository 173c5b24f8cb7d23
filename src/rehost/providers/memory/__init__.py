"""A real provider that keeps its resources in memory, with latency, faults and stale reads on demand."""
