"""The embedded stack: real nats-server, Postgres and S3 endpoint plus the services, on one data folder."""
