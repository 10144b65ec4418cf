"""What b2d1 says to D1 about its tables: every statement that can write is in here."""
