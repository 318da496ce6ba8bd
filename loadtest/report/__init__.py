"""What a run leaves behind: one JSON document, a CSV row per request, one HTML page, a summary on the terminal."""
