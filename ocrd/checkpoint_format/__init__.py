"""What the files of a published checkpoint mean: configuration, tensors, tokenizer. No torch."""
