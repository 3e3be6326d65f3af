"""The display of a run: the progress of each job and of all jobs together."""
