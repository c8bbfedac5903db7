"""Telling the world outside what happened: e-mails, webhooks, OpenLineage. Durable, in order, at least once."""
