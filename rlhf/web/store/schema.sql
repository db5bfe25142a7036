-- All that the classroom keeps. Deleting a person deletes every row that the person typed (ON DELETE CASCADE).

CREATE TABLE IF NOT EXISTS people (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: an old cookie must not become another person
    name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
    return_code TEXT NOT NULL,                      -- lets the same person in again from another browser
    joined      REAL NOT NULL                       -- seconds since 1970, as all times here
);

-- A prompt with K answers to rank.
CREATE TABLE IF NOT EXISTS items (
    id      INTEGER PRIMARY KEY,
    prompt  TEXT NOT NULL,     -- JSON: [{"role", "content"}, ...]
    answers TEXT NOT NULL,     -- JSON: [{"text", "ended"}, ...]
    gold    TEXT,              -- JSON: the gold labeler's totals; shown to nobody who ranks, used for measures only
    scores  TEXT,              -- JSON: the reward model's scores, where there was one
    known   INTEGER,           -- the index of the better answer of a known pair; NULL for all other items
    UNIQUE (prompt, answers)
);

CREATE INDEX IF NOT EXISTS known_items ON items (known);  -- the texts need not be read to choose one

-- Who was given what, and in which order the answers were shown.
CREATE TABLE IF NOT EXISTS assignments (
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    item_id   INTEGER NOT NULL REFERENCES items (id),
    shown     TEXT NOT NULL,   -- JSON: a permutation of 0 ... K-1
    given     REAL NOT NULL,
    PRIMARY KEY (person_id, item_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS assignments_of_item ON assignments (item_id);

CREATE TABLE IF NOT EXISTS rankings (
    person_id INTEGER NOT NULL,
    item_id   INTEGER NOT NULL,
    outcome   TEXT NOT NULL CHECK (outcome IN ('ranked', 'all_bad', 'skipped')),
    ranks     TEXT,            -- JSON: 0 for the best, equal for a tie, in the order of items.answers; NULL if skipped
    reason    TEXT NOT NULL CHECK (reason IN ('', 'helpful', 'honest', 'harmless')),
    seconds   REAL NOT NULL,   -- from the page to the label
    at        REAL NOT NULL,
    PRIMARY KEY (person_id, item_id),
    FOREIGN KEY (person_id, item_id) REFERENCES assignments (person_id, item_id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS rankings_of_item ON rankings (item_id);

CREATE TABLE IF NOT EXISTS demonstrations (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    prompt    TEXT NOT NULL,
    response  TEXT NOT NULL,
    at        REAL NOT NULL
);

-- The blind comparison of two stages.
CREATE TABLE IF NOT EXISTS verdicts (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    prompt    TEXT NOT NULL,
    stage_a   TEXT NOT NULL,
    stage_b   TEXT NOT NULL,
    winner    TEXT NOT NULL CHECK (winner IN ('a', 'b', 'tie')),
    at        REAL NOT NULL
);

-- The keys with which browsers sent what is above. What is sent again under its key is not counted again.
CREATE TABLE IF NOT EXISTS receipts (
    person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    key       TEXT NOT NULL,
    PRIMARY KEY (person_id, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jobs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    step    TEXT NOT NULL,     -- the part that runs now, or ran last
    message TEXT NOT NULL,     -- the command's sentence, if it failed
    started REAL NOT NULL,
    ended   REAL
);
-- Two teachers press the button at once: the second row is refused.
CREATE UNIQUE INDEX IF NOT EXISTS one_job ON jobs (state) WHERE state = 'running';
