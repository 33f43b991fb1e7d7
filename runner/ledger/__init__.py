"""What was paid for: answers by key, batches and their items, claims; one database, one writer."""
