"""The pipelines of diffusers as backends of artgen."""
