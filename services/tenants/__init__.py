"""Who may ask for what: tenants, their hashed keys, roles and quotas, as a file that is read again when it changes."""
