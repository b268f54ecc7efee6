"""What the relay keeps on SQL."""
