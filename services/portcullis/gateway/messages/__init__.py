"""Between protobuf messages and the domain: parsing, answering, and the statuses of errors."""
