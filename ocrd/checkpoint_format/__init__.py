"""The published checkpoint as it lies on disk.

What its configuration means, which tensors it holds. No torch here.
"""
