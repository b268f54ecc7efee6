"""The steps of following: read what is signed, choose the way there, take it, and say how fresh it is."""
