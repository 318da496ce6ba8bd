"""What runs the model: one module per backend, imported only when it is chosen."""
