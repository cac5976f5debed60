"""One module a language: the same call, as a person would write it there."""
