"""One module a decoder, each with its law."""
