"""Entry point of `python -m services.k8s_launcher`."""

from services.k8s_launcher.main import main

main()
