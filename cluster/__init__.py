"""Lays the chatbot down: lint, plan, deploy, explain, destroy, on this machine, in a rehearsal or on EKS."""
