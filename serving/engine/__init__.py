"""The engine: fixed slots, one queue, one thread. Plain Python; accelerator libraries only under `runners/`."""
