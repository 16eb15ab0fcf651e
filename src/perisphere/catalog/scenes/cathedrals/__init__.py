"""Cathedrals that can be entered: outside, inside, and the ten concepts of their parts."""
