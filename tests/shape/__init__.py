"""What `make shape` measures: the form of the code, by figures that a script can take."""
