"""Runs the function's package as Lambda does: AWS's runtime client under AWS's emulator, without Docker."""
