"""What a kubelet does on a machine: network and mount namespaces, cgroups, volumes, processes, probes."""
