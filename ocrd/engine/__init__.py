"""From the picture of a page to its text: views, prompt, decoding, blocks.

`nn` runs the network, `runtime` chooses its device and handles failures.
"""
