"""The recorded caller: speech files and a participant that plays them."""
