"""A bucket made one listing, in key order and proven whole, in ranges side by side where it is large."""
