"""What asks other programs: one client of the OpenAI form, contact sheets, the stages, and what is asked (prompts/)."""
