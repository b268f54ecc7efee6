"""Portcullis: a partner-platform enforcement gateway."""
