"""What a world is made of: frozen values, events, views, the fold that leads from one to the other, the digest."""
