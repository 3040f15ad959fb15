"""Parse the model's output, with its tags, into blocks: a label, a box, plain text."""
