"""The generated photo collection."""
