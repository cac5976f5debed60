"""`kerascope doctor`: what a machine lacks to run the service, in words, before it is missed."""
