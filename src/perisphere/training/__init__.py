"""What all methods share around Lightning."""
