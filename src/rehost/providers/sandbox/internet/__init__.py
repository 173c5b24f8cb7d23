"""What lies between the stand-ins: a registry, name servers, and a certificate authority."""
