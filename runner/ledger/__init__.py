"""What was paid for: answers by key, batches and their items, claims; one database, one writer.

Takes answers as they were received, and gives them again by key, in any process and at any later time. Never decodes,
changes or judges them; raises LedgerError where it cannot keep what it was given.
"""
