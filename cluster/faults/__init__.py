"""Seeded faults: what breaks a chain that works, and who has to name it, lint beforehand or the verdict afterwards."""
