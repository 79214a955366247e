"""``video.gan3d``: the generative adversarial network of clips."""
