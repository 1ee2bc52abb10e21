"""A demonstration that needs nothing but the package: pictures drawn, packed, found and shown."""
