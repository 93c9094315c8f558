"""What is right: the answer in a text, whether it equals the known one, and what votes together."""
