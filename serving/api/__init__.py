"""The HTTP face: OpenAI's shapes on the wire, and nothing of how answers are made."""
