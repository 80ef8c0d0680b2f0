"""What nano says on unseen patients, and what it may say."""
