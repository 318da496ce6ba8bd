"""The cluster's DNS: names of services and of pods with a subdomain, from their EndpointSlices."""
