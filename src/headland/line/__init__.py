"""From a reading to its acknowledgement: ingest, filtering, deciding, the outbox and the ledger."""
