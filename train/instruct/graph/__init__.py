"""The stages in their order, what they will cost, and the engines that run them."""
