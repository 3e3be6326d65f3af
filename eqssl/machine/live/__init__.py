"""What a person sees of a run: how far each job is, and how far all of them are."""
