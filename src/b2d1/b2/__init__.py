"""Backblaze B2: one page of a bucket, whatever may be wrong with it, and what a key may do."""
