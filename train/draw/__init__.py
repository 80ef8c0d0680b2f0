"""The recipe of nano's drawing expert: pictures, autoencoder, latents, expert; see train/draw/README.md."""
