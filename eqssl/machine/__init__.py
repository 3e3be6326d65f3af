"""Files, locks, cores and GPUs, memory, provenance, the live run and the store of results. No torch here."""
