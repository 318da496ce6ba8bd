"""One module a command, named as it is typed; each has `add_arguments(parser)` and `run(args) -> exit code`."""
