-- What clients read of executions. `message` is the protobuf a client gets; the other columns serve filters, sorting and folding.
-- `id` grows in order of insertion and is the default order of every list; `sequence` is the last envelope contained in the row.

CREATE TABLE executions (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    phase text NOT NULL,
    state smallint NOT NULL,
    mode smallint NOT NULL,
    launch_entity text NOT NULL,
    launch_project text NOT NULL,
    launch_domain text NOT NULL,
    launch_name text NOT NULL,
    launch_version text NOT NULL,
    workflow_project text NOT NULL,
    workflow_domain text NOT NULL,
    workflow_name text NOT NULL,
    workflow_version text NOT NULL,
    principal text NOT NULL,
    abort_cause text NOT NULL,
    error_kind text,
    error_code text,
    inputs_uri text NOT NULL,
    user_inputs_uri text NOT NULL,
    metadata_prefix text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    duration bigint NOT NULL,
    tags text[] NOT NULL,
    labels jsonb NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (execution_project, execution_domain, execution_name)
);

-- Newest first per project and domain, active ones only: the console's and flytectl's first question. `state` comes first
-- so that nobody takes this index for a way to one execution before the table has been analysed.
CREATE INDEX executions_recent ON executions (state, execution_project, execution_domain, created_at);
-- Runs of one workflow or launch plan.
CREATE INDEX executions_workflow ON executions (workflow_project, workflow_domain, workflow_name, created_at);
CREATE INDEX executions_launch ON executions (launch_project, launch_domain, launch_name, created_at);

CREATE TABLE node_executions (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    node_id text NOT NULL,
    kind smallint NOT NULL,
    parent_node_id text NOT NULL,
    parent_id bigint,
    phase text NOT NULL,
    input_uri text NOT NULL,
    data_prefix text NOT NULL,
    checkpoint_uri text NOT NULL,
    dynamic_closure_uri text NOT NULL,
    error_kind text,
    error_code text,
    cache_status text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    duration bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (execution_project, execution_domain, execution_name, node_id)
);

CREATE TABLE task_executions (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    node_id text NOT NULL,
    retry_attempt integer NOT NULL,
    project text NOT NULL,
    domain text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    phase text NOT NULL,
    phase_version integer NOT NULL,
    input_uri text NOT NULL,
    output_prefix text NOT NULL,
    checkpoint_uri text NOT NULL,
    elements integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    duration bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (execution_project, execution_domain, execution_name, node_id, retry_attempt)
);

-- Attempts of the elements of array nodes, which clients see inside the task execution of the array's attempt.
CREATE TABLE array_elements (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    node_id text NOT NULL,
    retry_attempt integer NOT NULL,
    array_id text NOT NULL,
    array_attempt integer NOT NULL,
    element integer NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (execution_project, execution_domain, execution_name, node_id, retry_attempt)
);

CREATE INDEX array_elements_in_order ON array_elements
    (execution_project, execution_domain, execution_name, array_id, array_attempt, element, retry_attempt);

CREATE TABLE signals (
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    execution_project text NOT NULL,
    execution_domain text NOT NULL,
    execution_name text NOT NULL,
    signal_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (execution_project, execution_domain, execution_name, signal_id)
);
