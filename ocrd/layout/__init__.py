"""The published checkpoint as it lies on disk: what its configuration means, which tensors it holds. No torch here."""
