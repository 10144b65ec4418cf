"""The inventory: a listing as a document, written, read back, compared and kept."""
