"""The embedded index: SQLite holds the truth, FAISS makes it fast."""
