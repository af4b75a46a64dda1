"""The real-fault campaign: real processes are hurt in every way we know of, and judged from outside.

`python -m campaign` (or `./dev campaign`); `docs/campaign.md` says what each fault does and how it is proved.
"""
