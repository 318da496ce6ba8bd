"""Container images: a Dockerfile each, and the versions of what the Neuron image holds."""
