"""The data plane: servicers, admission, error map, follower."""
