"""The relay: the exchange's events, delivered to other systems as Security Event Tokens or CloudEvents."""
