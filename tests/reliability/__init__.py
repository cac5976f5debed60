"""The harness of `make overload` and `make soak`: overload, slow callers, killed engines and long runs, with figures."""
