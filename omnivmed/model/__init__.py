"""The model: encoder, projector, language model, weight conversion. Knows neither the engine nor the UI."""
