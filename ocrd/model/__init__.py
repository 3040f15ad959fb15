"""The model on disk: what belongs to it, whether it is whole, and how it is made whole again.

No torch here.
"""
