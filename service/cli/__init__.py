"""The `kerascope` command: a file for each of its subcommands."""
