"""The wire, exactly as published: msgspec structs, quirks included."""
