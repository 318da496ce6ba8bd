"""Compiled graphs as artifacts: made once, pushed to a folder or a bucket, fetched and checked by every replica.

`inputs` is what a graph depends on. `manifest` lists it with the checksum of every file. `store` is where artifacts lie,
`transfer` moves them. The last file written is the manifest, so artifacts are whole or absent.
"""
