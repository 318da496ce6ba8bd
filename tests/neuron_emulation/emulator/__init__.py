"""The few names that transformers-neuronx takes from the closed Neuron packages, on CPU; see ../README.md for its limits."""
