"""What a run says to D1 about the table: every statement that can write is in here."""
