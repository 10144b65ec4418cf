"""Cloudflare D1: a database over its REST API, and what its refusals mean."""
