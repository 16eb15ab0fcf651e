"""Foreign: files from outside, read without running anything that they name."""
