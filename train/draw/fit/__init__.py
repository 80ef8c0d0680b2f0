"""What is trained: the autoencoder's decoder, the expert."""
