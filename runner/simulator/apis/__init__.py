"""The simulated APIs: each provider's addresses, files and batches."""
