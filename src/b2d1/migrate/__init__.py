"""`b2d1 migrate`: the tables made and changed as wrangler does it, so that either can follow the other."""
