"""Mistral on Trainium through transformers-neuronx; not yet run on hardware (docs/neuron.md says what is proved, and how).

`plan` is what is compiled: slots, buckets, layouts. `memory` says whether it fits before anything is loaded. `library`
is the only file that imports the library. `runner` keeps its contract.
"""
