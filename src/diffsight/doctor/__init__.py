"""What works on this machine: each fact is tried, none is looked up; no failure ends it, the network is not asked."""
