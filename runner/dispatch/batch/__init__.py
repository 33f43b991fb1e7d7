"""Batch dispatch: trials -> answers in the ledger by way of the providers' batch APIs, at about half the price.

A batch is written down before it is sent, and every step of its life after it is taken; what a crash leaves behind is
taken up by the next run. From the dispatch down:

desk        status, collect, cancel: what is done with batches from any shell
dispatch    lanes of trials -> packed, sent, followed, answered; what is left for a later run, or for live
lane        one model's trials: packed, sent, followed, told apart
course      one batch from draft to clean-up, step by step
results     a batch's results: raw to disk, answers to the ledger, endings to the book
room        how much of a model its account takes in at once
pack        which requests go into one batch, and its file of items
pace        when to look, and when to give up
waiting     waiting, and how it ends early
verdict     how an item ended -> what becomes of its request
wanted      what is asked for, and what comes of it
account     whose account a model's batches are sent from
book        the batches and their items, in the ledger's database
entry       the values that the book holds
"""
