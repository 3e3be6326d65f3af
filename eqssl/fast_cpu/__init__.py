"""Fast inference of released networks on a CPU."""
