"""The Kubernetes runtime: attempts as pods and as objects of operators."""
