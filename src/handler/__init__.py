"""The Lambda function: b2d1's core behind one handler."""
