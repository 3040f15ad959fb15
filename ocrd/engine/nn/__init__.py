"""The network, from weights to logits: vision encoders, projector, decoder, kernels, loading."""
