"""Operations on their way: which begin, what watches over them, and how they come to their end."""
