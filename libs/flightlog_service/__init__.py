"""What every service is as a process: settings from the environment, readiness, stopping, and nothing of its work."""

from .process import Ready, run_until_stopped, running, without_data_frames
from .settings import ServiceSettings

__all__ = ["Ready", "ServiceSettings", "run_until_stopped", "running", "without_data_frames"]
