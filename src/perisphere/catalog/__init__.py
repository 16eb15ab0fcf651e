"""Catalogs of photos: reading, checking, splitting, showing, generating."""
