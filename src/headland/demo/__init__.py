"""`headland demo`: four tiers on one machine, with faults, checked independently of the ledger."""
