"""Text at both ends of the engine: messages become token ids, token ids become text."""
