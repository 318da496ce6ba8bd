"""The process kubelet: every pod that is bound to a simulated node runs as processes of this machine.

`pod/` decides, from a pod's spec, what is known of its containers and the time; `machine/` does it with namespaces, mounts
and cgroups; `dns/` answers for services. `service.py` follows the API server and gives every pod a worker of its own.
"""
