"""What every project and domain has in the cluster: its namespace, quotas, service accounts, from an operator's
templates (k8s-contract §7)."""
