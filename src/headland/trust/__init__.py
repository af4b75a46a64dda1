"""Who is who: names in certificates, a development authority, TLS contexts, password hashes."""
