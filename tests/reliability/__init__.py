"""The harness of `make load` and `make soak`: overload, slow callers, killed engines and long runs, with figures."""
