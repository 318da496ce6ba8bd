"""The performance suite: ratios measured side by side, never a bare time, never a test."""
