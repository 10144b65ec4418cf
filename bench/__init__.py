"""What b2d1 costs, against what stock boto3 costs for the same: `make bench`."""
