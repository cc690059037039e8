"""Structured answers: the user's schema read, what is sent of it, and its answers as typed columns. Pure."""
