"""Shapes for artgen: the modality ``shape`` (solids of voxels) and the backend ``shape.gan3d``, which learns to make them."""
