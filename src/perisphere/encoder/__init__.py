"""The Encoder: a network with its exact preprocessing, and batch embedding."""
