"""The harness of `make overload`, `make kills` and `make soak`: what the service withstands, with figures."""
