"""Questions and answers: wordings, templates, borrowed texts; whether an answer is right."""
