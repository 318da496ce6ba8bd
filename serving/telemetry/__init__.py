"""What the server says of itself: metrics, declared once, and one log line for each request. Never a word of a prompt."""
