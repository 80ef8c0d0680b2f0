"""The data folder as pictures: index, decoded pixels, views, studies; and run folders."""
