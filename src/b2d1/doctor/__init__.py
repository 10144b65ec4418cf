"""`b2d1 doctor`: whatever a run needs, examined one thing at a time, each with the sentence that mends it."""
