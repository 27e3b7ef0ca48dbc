"""Landing: files in real formats become rows of the schema raw, one transaction a file."""
