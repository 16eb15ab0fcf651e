"""One reader per published layout."""
