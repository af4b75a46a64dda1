"""Identity: certificates, who is who, and what each may do."""
