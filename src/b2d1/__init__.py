"""Keep a Cloudflare D1 table in step with a Backblaze B2 bucket."""

__version__ = "0.1.0"
