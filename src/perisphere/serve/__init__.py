"""The search service: an index behind HTTP, and its page."""
