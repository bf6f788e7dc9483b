"""Ruleset, repository settings and plan files: read, checked, and refused with the line of the error."""
