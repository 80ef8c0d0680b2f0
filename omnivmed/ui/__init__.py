"""The page: what a browser sees, and one visitor's things behind it. `texts` are its words, as one frozen object."""

from omnivmed.ui.texts import texts as texts
