"""One streamed chat request: the connection, the event stream, the answer."""
