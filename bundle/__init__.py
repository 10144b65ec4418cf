"""Builds the Lambda function's package: python -m bundle FOLDER."""
