"""Files, locks, cores and GPUs, memory, provenance, live runs and the store of results, without torch."""
