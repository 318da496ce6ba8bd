"""The model's files: which ones exist, how they are fetched and built, and what a prepared folder holds."""
