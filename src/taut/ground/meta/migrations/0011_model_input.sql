-- The logged models that a run said it read: what an evaluation judged, what a further training began from.
CREATE TABLE run_model_input (
    run_id TEXT NOT NULL REFERENCES run (id),
    model_id TEXT NOT NULL,
    PRIMARY KEY (run_id, model_id)
);
