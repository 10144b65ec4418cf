"""`b2d1 verify`: the whole table held against a listing, by SELECT alone."""
