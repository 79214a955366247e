"""``image.gan``: the generative adversarial network."""
