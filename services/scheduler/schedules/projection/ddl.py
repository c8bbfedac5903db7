"""The tables of schedules and backfills.

`stands` is the position that the last envelope ended with. Text has no NUL characters: Postgres cannot hold them.
"""

DDL = """
-- One row for each launch plan name that has, or had, a schedule.
CREATE TABLE schedules (
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    stands bytea NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (project, domain, name)
);

CREATE TABLE backfills (
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    -- Sequence of its first envelope: newer ones have a higher one.
    id bigint NOT NULL,
    stands bytea NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (project, domain, name)
);
-- ListBackfills
CREATE INDEX backfills_by_age ON backfills (id);
CREATE INDEX backfills_of_project ON backfills (project, domain, id);

-- Ticks of schedules and of backfills; consecutive ones that were skipped for one reason share a row.
CREATE TABLE ticks (
    kind text NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    -- Of the schedule or the backfill.
    name text NOT NULL,
    due timestamptz NOT NULL,
    version text NOT NULL,
    last timestamptz NOT NULL,
    count bigint NOT NULL,
    fired_at timestamptz,
    ended_at timestamptz,
    execution text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (kind, project, domain, name, due, version)
);
"""
