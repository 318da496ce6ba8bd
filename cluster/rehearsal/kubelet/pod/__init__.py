"""What a kubelet decides about one pod: plain values in, plain values out, no clock and no machine."""
