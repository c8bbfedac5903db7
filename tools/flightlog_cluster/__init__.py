"""A real Kubernetes control plane on this machine: throw-away, without containers, for tests and measurements.

Built from Go modules once per machine (`build`), started on a folder of its own (`cluster`). Pods run nowhere: kwok
plays the nodes. `make test-kubelet` adds a real kubelet.
"""
