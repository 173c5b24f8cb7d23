"""Certificates that rehost has issued itself, by an authority that speaks ACME (RFC 8555), proven through DNS."""
