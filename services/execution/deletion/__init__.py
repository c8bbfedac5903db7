"""Executions that go for good: asked for by a call, or old enough; everything of them is erased but that they were."""
