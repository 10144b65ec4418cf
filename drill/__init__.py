"""What becomes of a run when anything it relies on fails, at any of its requests; never packaged."""
