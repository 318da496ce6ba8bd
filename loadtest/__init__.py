"""Load that can be believed: Locust traffic, measurement from the scheduled instant, and a verdict on autoscaling."""
