"""The providers' batch APIs, one module each.

Takes items with their bodies, and an account; gives ids of files and batches, how far a batch is, and its lines as they
were received. Never decides when to look or to give a batch up, keeps nothing, and deletes only what it is told to.
"""
