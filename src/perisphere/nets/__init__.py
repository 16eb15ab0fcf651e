"""Backbones, pooling, heads, and published weights read safely into them."""
