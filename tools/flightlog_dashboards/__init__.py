"""Grafana's dashboards without Grafana: their queries are run as Grafana runs them, and what they answer is drawn."""
