"""The providers' batch APIs, one module each."""
