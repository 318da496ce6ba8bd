"""Compiled graphs as artifacts: made once, pushed to a folder or a bucket, fetched and checked by every replica.

`inputs` is what a graph depends on. `manifest` lists it with the checksum of every file. `store` is where artifacts lie,
`transfer` moves them. A push takes the manifest away before it changes a file and writes it last, so artifacts are whole
or absent, also while others take their place.
"""
