-- The folders that artifacts lie in, so that one level is found by equality: what begins with a path is no range of an
-- index where a database sorts as people do. A folder is here as long as something lies in it, at any depth.

ALTER TABLE artifact ADD COLUMN folder TEXT NOT NULL DEFAULT '';
UPDATE artifact SET folder = rtrim(rtrim(path, replace(path, '/', '')), '/') WHERE path LIKE '%/%';
CREATE INDEX artifact_by_folder ON artifact (root, folder);

CREATE TABLE artifact_folder (
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    folder TEXT NOT NULL,
    PRIMARY KEY (root, path)
);
CREATE INDEX artifact_folder_by_folder ON artifact_folder (root, folder);
INSERT INTO artifact_folder (root, path, folder)
WITH RECURSIVE above (root, path) AS (
    SELECT root, folder FROM artifact WHERE folder <> ''
    UNION
    SELECT root, rtrim(rtrim(path, replace(path, '/', '')), '/') FROM above WHERE path LIKE '%/%'
)
SELECT root, path, CASE WHEN path LIKE '%/%' THEN rtrim(rtrim(path, replace(path, '/', '')), '/') ELSE '' END FROM above;
