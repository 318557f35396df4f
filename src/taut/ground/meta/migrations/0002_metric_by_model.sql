-- The metrics of one logged model, whichever run measured them; most points belong to none and are left out.

CREATE INDEX metric_by_model ON metric (model_id, key, step, at_ms) WHERE model_id <> '';
