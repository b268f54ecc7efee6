"""Readers: authorities' files made into rows, in constant memory. Which reader is meant is said by the format's name."""
