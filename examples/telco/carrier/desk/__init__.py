"""The business of the company, without any conversation: identity, accounts, and changes of a customer."""
