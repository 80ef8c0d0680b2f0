"""From public data sets to batches: readers → samples → costs → batch plan → encoded samples → collated batch.

Which samples make up a batch is a pure function of (seed, epoch, step): resuming is arithmetic.
"""
