"""`b2d1 sync`: which objects the table lacks, planned on disk, written all or none and proven."""
