"""Reading uploaded model files: against an allow-list, in a sandbox, and rewritten before anything trusts them."""
