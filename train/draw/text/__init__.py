"""How people ask for pictures, and for changes of pictures."""
