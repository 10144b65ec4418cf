"""Embedded stand-ins for Backblaze B2 and Cloudflare D1: real servers, on loopback."""
