"""Histories of executions, asked about: how they were, where they differ, why they wait."""
