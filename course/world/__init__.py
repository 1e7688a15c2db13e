"""The small true world that the models live in: facts, and the words that tell them."""
