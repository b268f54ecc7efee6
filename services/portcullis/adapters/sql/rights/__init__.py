"""The rights of listed persons on SQL: cases, redress numbers, subjects' files."""
