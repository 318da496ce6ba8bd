"""A Kubernetes control plane on one machine: the real programs, built from pinned modules, nothing of a cluster faked.

It knows nothing of the chatbot: no import of lint, plan or targets.
"""
