"""The one-machine stack: the same functions, a broker, a database, the dispatcher, the CLI."""
