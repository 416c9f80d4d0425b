"""Threads of front ends: which conversation each is, what its front end has been told, and one exchange with it."""
