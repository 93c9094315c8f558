"""How chains are made; an engine is known only as a protocol."""
