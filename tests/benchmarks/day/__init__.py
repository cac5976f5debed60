"""The harness of `make day`: one service, a day's mix of calls, and its memory all along."""
