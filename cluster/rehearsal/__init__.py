"""A cluster on one machine: real Kubernetes, Karpenter and KubeRay, built from pinned modules, in namespaces of their own.

From outside in: `lab` starts, asks and ends it; `supervisor` is the first process inside; `components` says what it starts;
`kubelet` runs the pods. It knows nothing of lint, plan or targets, and of the chatbot the names of its images and Service.
"""
