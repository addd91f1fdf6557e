"""How a model is served: a bundle is read, pictures are decoded, batched and answered over HTTP."""
