"""A request in one provider's own words, and its answer back: chat codecs, batch APIs, accounts, the embedded model.

Takes a Request and a Model; gives bytes to send and where, and of what comes back a Reply or a ProviderError with its
kind. One table has every address (services). Never decides when to send or whether to try again, never keeps anything,
and reads no key from the environment but the one that a model's file names.
"""
