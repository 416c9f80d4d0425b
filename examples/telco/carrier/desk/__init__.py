"""What the company does for a customer, without a word of conversation: who one is, what one has, what may be changed."""
