"""The two-way exchange: events, feeds, receipts, and the journal of decisions."""
