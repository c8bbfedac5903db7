"""Copies the inputs of raw containers in and their outputs out, for programs that know nothing of Flyte.

The command is `python -m services.k8s_launcher.copying`; see `__main__`. It takes the part of Flyte's CoPilot image
(k8s-contract §1.13): beside the task's container in a pod, and around its command in the process runtime.
"""
