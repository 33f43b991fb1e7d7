"""Batch dispatch: trials -> answers in the ledger by way of the providers' batch APIs, at about half the price.

A batch is written down before it is sent, and every step of its life after it is taken; what a crash leaves behind is
taken up by the next run. From the dispatch down:

control     status, collect, cancel: what is done with batches from any shell
dispatch    trials of every model -> packed, sent, followed, answered; what is left for a later run, or for live
queue       one model's trials: packed, sent, followed, told apart
sending     one batch to its provider, and looked for where nobody can tell
lifecycle   one batch from draft to clean-up, step by step
fetch       a batch's results: raw to disk, answers to the ledger, endings to the store
capacity    how much of a model its account takes in at once
leftovers   what crashes leave in the folder of batches
packing     which requests go into one batch, and its file of items
polling     when to look, when to give up, and how waiting ends early
next_action how an item ended -> what becomes of its request
"""
