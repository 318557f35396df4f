-- What one pass saw of a dataset version's table: JSON of bounded size, apart from the version so that lists stay short.
CREATE TABLE dataset_profile (
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (name, number)
);
