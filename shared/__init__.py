"""What all functions share: small, and nothing that one function alone needs."""
