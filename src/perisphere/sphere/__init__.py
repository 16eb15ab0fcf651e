"""Geometry of the unit sphere: pure functions on arrays."""
