"""Queries and what is done with their answers."""
